//! The lock behind a lease.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, FlockOperation},
    io::Errno,
};
use tokio::sync::oneshot;
use virtcontainers_types::SandboxId;

use super::{FsStore, records::Unsynced};
use crate::{Lease, StoreError};

/// The locked directory of a sandbox, unlocked when dropped.
#[derive(Debug)]
pub(super) struct Held {
    dir: OwnedFd,
    /// The directory's path, for errors, and to tell whose lease it is.
    pub(super) path: PathBuf,
    unsynced: Mutex<Unsynced>,
}

/// The answer to an attempt to lock.
pub(super) enum Attempt {
    Held(Held),
    /// Somebody else has it: the directory is given back.
    Busy(OwnedFd),
}

impl Held {
    fn new(dir: OwnedFd, path: PathBuf) -> Self {
        Self { dir, path, unsynced: Mutex::default() }
    }

    /// Locks a directory if nobody else has. `path` is what it is called, or is to be.
    pub(super) fn attempt(dir: OwnedFd, path: PathBuf) -> io::Result<Attempt> {
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Attempt::Held(Self::new(dir, path))),
            Err(Errno::WOULDBLOCK) => Ok(Attempt::Busy(dir)),
            Err(error) => Err(error.into()),
        }
    }

    /// [`Held::attempt`]; `None`: somebody else has it.
    pub(super) fn try_new(dir: OwnedFd, path: PathBuf) -> io::Result<Option<Self>> {
        match Self::attempt(dir, path)? {
            Attempt::Held(held) => Ok(Some(held)),
            Attempt::Busy(_) => Ok(None),
        }
    }

    /// Waits up to `timeout`. `None`: the time is up.
    pub(super) fn wait_blocking(dir: OwnedFd, path: PathBuf, timeout: Duration) -> io::Result<Option<Self>> {
        let waiting = match Self::attempt(dir, path.clone())? {
            Attempt::Held(held) => return Ok(Some(held)),
            Attempt::Busy(_) if timeout.is_zero() => return Ok(None),
            Attempt::Busy(dir) => dir,
        };
        let (sender, receiver) = mpsc::sync_channel(1);
        Self::wait_on_thread(waiting, path, move |held| drop(sender.send(held)))?;
        match receiver.recv_timeout(timeout) {
            Ok(held) => held.map(Some),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// [`Held::wait_blocking`] that blocks no thread of the runtime.
    pub(super) async fn wait(dir: OwnedFd, path: PathBuf, timeout: Duration) -> io::Result<Option<Self>> {
        let waiting = match Self::attempt(dir, path.clone())? {
            Attempt::Held(held) => return Ok(Some(held)),
            Attempt::Busy(_) if timeout.is_zero() => return Ok(None),
            Attempt::Busy(dir) => dir,
        };
        let (sender, receiver) = oneshot::channel();
        Self::wait_on_thread(waiting, path, move |held| drop(sender.send(held)))?;
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(held)) => held.map(Some),
            Ok(Err(_closed)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_elapsed) => Ok(None),
        }
    }

    /// The kernel offers no wait for a lock with a limit of time, so a thread of its own waits without one. A waiter
    /// that has given up leaves it behind; it ends when it gets the lock, which it lets go at once.
    fn wait_on_thread(
        dir: OwnedFd,
        path: PathBuf,
        answer: impl FnOnce(io::Result<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let wait = move || {
            let locked = loop {
                match rustix::fs::flock(&dir, FlockOperation::LockExclusive) {
                    Err(Errno::INTR) => {}
                    done => break done,
                }
            };
            answer(locked.map(|()| Self::new(dir, path)).map_err(io::Error::from));
        };
        thread::Builder::new().name("lease".to_owned()).stack_size(64 << 10).spawn(wait).map(drop)
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// What was written under this lock and not synced.
    pub(super) fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Not left to the closing of the descriptor: a child of this process, between fork and exec, may share it.
        rustix::fs::flock(&self.dir, FlockOperation::Unlock).ok();
    }
}

impl FsStore {
    /// The lease, if the locked directory still is the one of that name; else what is there now must be tried.
    pub(super) fn confirm(&self, id: &SandboxId, held: Held) -> Result<Option<Lease>, StoreError> {
        let locked = rustix::fs::fstat(held.dir()).map_err(StoreError::io("stat", self.sandbox_dir(id)))?;
        match rustix::fs::statat(&self.sandboxes, id.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (locked.st_dev, locked.st_ino) => {}
            Ok(_) => return Ok(None),
            Err(Errno::NOENT) => return Err(StoreError::NotFound { id: id.clone() }),
            Err(error) => return Err(StoreError::io("stat", self.sandbox_dir(id))(error)),
        }
        Ok(Some(Lease::new(id.clone(), held)))
    }

    pub(super) fn busy(&self, id: &SandboxId, waited: Duration) -> StoreError {
        StoreError::Busy { id: id.clone(), holder: self.holder(id), waited }
    }

    /// Whoever has the lock, as `/proc/locks` (proc(5)) tells: `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> …`.
    fn holder(&self, id: &SandboxId) -> Option<u32> {
        let stat = rustix::fs::statat(&self.sandboxes, id.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
        let table = fs::read_to_string("/proc/locks").ok()?;
        table.lines().find_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            (fields.next()? == "FLOCK").then_some(())?;
            let pid = fields.nth(2)?;
            (fields.next()? == file).then(|| pid.parse().ok())?
        })
    }
}
