//! What was seen of each file at its last open: from it alone follows whether the guest may keep what it has of the file.
//!
//! The promise is close-to-open consistency: who opens a file reads what was in it at that moment, or later. A guest
//! keeps a file's pages over an open only when all of this holds:
//!
//! - The file is as it was at the open before: change time, modification time and size. Any writer moves the change
//!   time, and nobody can set it.
//! - That state was settled when it was seen: its change time lay further back than a clock's tick, so that a later
//!   change could not have got the same time.
//! - Whoever opened the file when it had last changed, and was told to drop its pages, has done so: it has read from the
//!   file or closed it since. Otherwise a second process could open the file between the answer to the first and what the first
//!   does about it, and find the old pages.
//!
//! By induction, all pages in the guest are then of the state that the last open saw. Where a file system or a writer
//! keeps no honest change time (a shared mapping that is written to for long, and moves it once), the guest sees what
//! another client of the same file over NFS would see.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use virtiofsd::fuse::Attr;

/// Longer than the tick by which a kernel advances the times that it writes into files.
const TICK: Duration = Duration::from_millis(20);
/// The same for file systems that store whole seconds (or two, as FAT does).
const COARSE_TICK: Duration = Duration::from_millis(2_100);
/// So many files are remembered in each of two generations. A file that is forgotten is read anew, no more.
const LIMIT: usize = 1024;

const NANOS: i128 = 1_000_000_000;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Seconds since 1970 and nanoseconds.
    changed: (i64, u32),
    modified: (i64, u32),
    size: u64,
}

impl Version {
    pub(crate) const fn of(attr: &Attr) -> Self {
        Self {
            changed: (attr.ctime.cast_signed(), attr.ctimensec),
            modified: (attr.mtime.cast_signed(), attr.mtimensec),
            size: attr.size,
        }
    }

    /// Whether a change that came after `now` would show in the times.
    fn is_settled(&self, now: SystemTime) -> bool {
        // A clock before 1970 settles nothing.
        let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let (seconds, nanos) = self.changed;
        let age = i128::from(now.as_secs()) * NANOS + i128::from(now.subsec_nanos())
            - (i128::from(seconds) * NANOS + i128::from(nanos));
        let tick = if nanos == 0 { COARSE_TICK } else { TICK };
        u128::try_from(age).is_ok_and(|age| age > tick.as_nanos())
    }
}

/// How far the last open of a file is to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The guest's pages are of this version, and a change will be seen.
    Whole,
    /// The file may have been changed within the same tick.
    Unsettled,
    /// This handle was opened with the order to drop the pages, and nothing was heard of it since.
    Until(u64),
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    version: Version,
    trust: Trust,
}

/// The last opens of files, by the number of their inode. Bounded; a file not opened for long is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct History {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Seen>,
    old: HashMap<u64, Seen>,
}

impl Generations {
    fn remember(&mut self, inode: u64, seen: Seen) {
        if self.young.len() >= LIMIT && !self.young.contains_key(&inode) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(inode, seen);
    }

    fn take(&mut self, inode: u64) -> Option<Seen> {
        let old = self.old.remove(&inode);
        self.young.remove(&inode).or(old)
    }
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        // No invariant spans two of its fields.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file was opened, and its version was read after that; `now` is a moment before it was read. Whether the guest
    /// may keep the pages that it has of the file.
    pub(crate) fn opened(&self, inode: u64, handle: u64, version: Version, now: SystemTime) -> bool {
        let mut generations = self.lock();
        let before = generations.take(inode);
        let keep = before.is_some_and(|seen| seen.version == version && seen.trust == Trust::Whole);
        let trust = match (version.is_settled(now), keep) {
            (false, _) => Trust::Unsettled,
            (true, true) => Trust::Whole,
            (true, false) => Trust::Until(handle),
        };
        generations.remember(inode, Seen { version, trust });
        keep
    }

    /// The guest used a handle of a file: whoever opened it has acted on the answer.
    pub(crate) fn used(&self, inode: u64, handle: u64) {
        let mut generations = self.lock();
        let Generations { young, old } = &mut *generations;
        if let Some(seen) = young.get_mut(&inode).or_else(|| old.get_mut(&inode))
            && seen.trust == Trust::Until(handle)
        {
            seen.trust = Trust::Whole;
        }
    }

    /// The guest forgot a file, and its pages with it.
    pub(crate) fn forgotten(&self, inode: u64) {
        self.lock().take(inode);
    }
}

#[cfg(test)]
mod tests;
