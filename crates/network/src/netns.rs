//! Network namespaces: found, made, entered, removed.
//!
//! A thread that has entered a namespace never goes back: work in a namespace is done by [`NetNs::run`] on a thread of its
//! own, which ends with the work. [`Inside`] is the proof of being there, and cannot leave that thread.

use std::{
    fs::{self, OpenOptions},
    io,
    marker::PhantomData,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use rtnetlink::{Handle, LinkUnspec};
use tokio::sync::oneshot;
use virtcontainers_sys::{mount, netns as kernel, task};

use crate::{NetworkError, netlink};

/// The index of `lo` in every namespace.
const LOOPBACK: u32 = 1;

/// An open network namespace. It stays alive while this does.
#[derive(Debug, Clone)]
pub struct NetNs {
    fd: Arc<OwnedFd>,
}

/// The proof that this thread is in the namespace, and the way to its kernel.
#[derive(Debug)]
pub struct Inside {
    handle: Handle,
    stays: PhantomData<*const ()>,
}

impl Inside {
    /// A netlink handle whose socket is in the namespace.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl NetNs {
    /// Opens the namespace that `path` leads to.
    ///
    /// # Errors
    /// [`NetworkError::NotANamespace`] with the path, for whatever is none.
    pub fn open(path: &Path) -> Result<Self, NetworkError> {
        let not = |source| NetworkError::NotANamespace { path: path.to_owned(), source };
        kernel::open(path).map(Self::of).map_err(not)
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// [`NetworkError::Namespace`] where `/proc` is not mounted.
    pub fn current() -> Result<Self, NetworkError> {
        let hint = "mount /proc";
        kernel::current().map(Self::of).map_err(|source| NetworkError::Namespace {
            action: "open the own network namespace",
            hint,
            source,
        })
    }

    fn of(fd: OwnedFd) -> Self {
        Self { fd: Arc::new(fd) }
    }

    /// Makes a namespace with `lo` up in it, kept alive by a bind mount on `path`, which becomes an empty file. The
    /// directory must be there. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`NetworkError::PathTaken`], or the kernel's refusal; then nothing is left behind.
    pub fn create(path: &Path) -> Result<Self, NetworkError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map(drop).map_err(|source| match source.raw_os_error() {
            Some(code) if code == rustix::io::Errno::EXIST.raw_os_error() => {
                NetworkError::PathTaken { path: path.to_owned() }
            }
            _ => NetworkError::io("make the file for a network namespace", path)(source),
        })?;
        let target = path.to_owned();
        let thread = thread::Builder::new().name("netns-new".to_owned()).spawn(move || make(&target));
        let made = thread
            .map_err(no_thread)
            .and_then(|thread| thread.join().unwrap_or(Err(NetworkError::BrokeDown)));
        if made.is_err() {
            Self::remove(path).ok(); // the cause is told, and the file is empty
        }
        made
    }

    /// Takes away what [`create`](Self::create) made at `path`; idempotent. The namespace itself ends when nothing is in
    /// it any more.
    ///
    /// # Errors
    /// [`NetworkError::NotOurs`] for anything but an empty file below the mount; else the kernel's refusal.
    pub fn remove(path: &Path) -> Result<(), NetworkError> {
        if mount::is_mount_point(path).map_err(NetworkError::io("look at", path))? {
            let ours = kernel::open(path).is_ok();
            let not_ours = || NetworkError::NotOurs { path: path.to_owned() };
            ours.then_some(()).ok_or_else(not_ours)?;
            mount::unmount(path).map_err(NetworkError::io("unmount the network namespace at", path))?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() && found.len() == 0 => {}
            Ok(_) => return Err(NetworkError::NotOurs { path: path.to_owned() }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(NetworkError::io("look at", path)(source)),
        }
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(NetworkError::io("remove", path)(source))
            }
            _ => Ok(()),
        }
    }

    /// Whether both are the same namespace.
    ///
    /// # Errors
    /// [`NetworkError::Namespace`], as `fstat(2)`.
    pub fn is_same_as(&self, other: &Self) -> Result<bool, NetworkError> {
        let stat = |of: &Self| {
            rustix::fs::fstat(of.as_fd()).map_err(|source| NetworkError::Namespace {
                action: "look at a network namespace",
                hint: "open it again",
                source: source.into(),
            })
        };
        let (one, other) = (stat(self)?, stat(other)?);
        Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
    }

    /// Does `work` inside the namespace, on a thread of its own with a tokio runtime. Processes that it starts are in the
    /// namespace too.
    ///
    /// The work belongs to the caller: when this future is dropped, the work is dropped at its next await, and its thread
    /// has ended when the drop returns. So it must not block for long.
    ///
    /// # Errors
    /// [`NetworkError::Namespace`] when the namespace cannot be entered, [`NetworkError::BrokeDown`] when the work panics.
    pub async fn run<T, F>(&self, work: F) -> Result<T, NetworkError>
    where
        F: AsyncFnOnce(&Inside) -> T + Send + 'static,
        T: Send + 'static,
    {
        let namespace = Arc::clone(&self.fd);
        let (given_up, caller_gone) = oneshot::channel::<()>();
        let (sender, result) = oneshot::channel();
        let body = move || {
            // A receiver that is gone needs no result.
            drop(sender.send(perform(namespace.as_fd(), work, caller_gone)));
        };
        let thread = thread::Builder::new().name("netns".to_owned()).spawn(body);
        let thread = thread.map_err(no_thread)?;
        let guard = Joined { thread: Some(thread), given_up: Some(given_up) };
        let outcome = result.await;
        drop(guard);
        match outcome {
            Ok(Ok(Some(result))) => Ok(result),
            Ok(Ok(None)) | Err(_) => Err(NetworkError::BrokeDown),
            Ok(Err(error)) => Err(error),
        }
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Ends the work, and then waits for its thread.
struct Joined {
    thread: Option<JoinHandle<()>>,
    given_up: Option<oneshot::Sender<()>>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        drop(self.given_up.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // a panic has shown itself by the missing result
        }
    }
}

fn no_thread(source: io::Error) -> NetworkError {
    NetworkError::Namespace { action: "start a thread", hint: "raise the limit of processes", source }
}

/// On the thread: enters, and works until done or nobody waits any more (none).
fn perform<T>(
    namespace: BorrowedFd<'_>,
    work: impl AsyncFnOnce(&Inside) -> T,
    caller_gone: oneshot::Receiver<()>,
) -> Result<Option<T>, NetworkError> {
    kernel::enter(namespace).map_err(|source| NetworkError::Namespace {
        action: "enter the network namespace",
        hint: "run as root or with CAP_SYS_ADMIN",
        source,
    })?;
    in_runtime(async |inside: &Inside| {
        tokio::select! {
            result = work(inside) => Some(result),
            _ = caller_gone => None,
        }
    })
}

/// On the thread: makes the namespace and leaves it ready for use.
fn make(path: &Path) -> Result<NetNs, NetworkError> {
    let made = kernel::unshare_onto(path).map(NetNs::of);
    let made = made.map_err(NetworkError::io("bind a new network namespace onto", path))?;
    in_runtime(async |inside: &Inside| {
        let up = LinkUnspec::new_with_index(LOOPBACK).up().build();
        let done = inside.handle().link().set(up).execute().await;
        done.map_err(netlink::link_error("bring up", "lo", LOOPBACK))
    })??;
    Ok(made)
}

/// Does `work` with a runtime and a netlink socket of the namespace that this thread is in.
fn in_runtime<T>(work: impl AsyncFnOnce(&Inside) -> T) -> Result<T, NetworkError> {
    let failed = |action| {
        move |source| NetworkError::Namespace { action, hint: "raise the limit of open files", source }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed("start a runtime"))?.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(failed("open a netlink socket"))?;
        let connection = task::spawn("netlink", connection);
        let result = work(&Inside { handle, stays: PhantomData }).await;
        drop(connection);
        Ok(result)
    })
}
