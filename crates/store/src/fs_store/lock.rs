//! The lock behind a lease.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, FlockOperation},
    io::Errno,
};
use tokio::sync::oneshot;
use virtcontainers_sys::fs::TEMPORARY_PREFIX;
use virtcontainers_types::SandboxId;

use super::FsStore;
use crate::{Lease, StoreError};

/// A locked directory, unlocked when dropped.
#[derive(Debug)]
pub(super) struct Held {
    dir: OwnedFd,
    pub(super) root: PathBuf,
}

impl Held {
    /// `None`: somebody else has it.
    pub(super) fn try_new(dir: OwnedFd, root: &Path) -> io::Result<Option<Self>> {
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { dir, root: root.to_owned() })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits up to `timeout`. `None`: the time is up.
    pub(super) fn wait_blocking(dir: OwnedFd, root: &Path, timeout: Duration) -> io::Result<Option<Self>> {
        let waiting = dir.try_clone()?;
        if let Some(held) = Self::try_new(dir, root)? {
            return Ok(Some(held));
        }
        if timeout.is_zero() {
            return Ok(None);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        Self::wait_on_thread(waiting, root, move |held| drop(sender.send(held)))?;
        match receiver.recv_timeout(timeout) {
            Ok(held) => held.map(Some),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// [`Held::wait_blocking`] that blocks no thread of the runtime.
    pub(super) async fn wait(dir: OwnedFd, root: &Path, timeout: Duration) -> io::Result<Option<Self>> {
        let waiting = dir.try_clone()?;
        if let Some(held) = Self::try_new(dir, root)? {
            return Ok(Some(held));
        }
        if timeout.is_zero() {
            return Ok(None);
        }
        let (sender, receiver) = oneshot::channel();
        Self::wait_on_thread(waiting, root, move |held| drop(sender.send(held)))?;
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
        root: &Path,
        answer: impl FnOnce(io::Result<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let root = root.to_owned();
        let wait = move || {
            let locked = loop {
                match rustix::fs::flock(&dir, FlockOperation::LockExclusive) {
                    Err(Errno::INTR) => {}
                    done => break done,
                }
            };
            answer(locked.map(|()| Self { dir, root }).map_err(io::Error::from));
        };
        thread::Builder::new().name("lease".to_owned()).stack_size(64 << 10).spawn(wait).map(drop)
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
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
        self.sweep_temporaries(&held, id)?;
        Ok(Some(Lease::new(id.clone(), held)))
    }

    /// Only the holder of the lease writes, so what another writer left half written is nobody's.
    fn sweep_temporaries(&self, held: &Held, id: &SandboxId) -> Result<(), StoreError> {
        let failed = || StoreError::io("sweep", self.sandbox_dir(id));
        for entry in rustix::fs::Dir::read_from(held.dir()).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            if entry.file_name().to_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
                rustix::fs::unlinkat(held.dir(), entry.file_name(), AtFlags::empty()).map_err(failed())?;
            }
        }
        Ok(())
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
