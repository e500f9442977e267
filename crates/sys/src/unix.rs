//! Unix sockets in directories of any depth.
//!
//! A socket address holds at most 107 bytes of path. Every function here takes the directory and the name apart and
//! goes through `/proc/self/fd/<directory>/<name>`, so that only the name is limited (to about 80 bytes).

use std::{
    fs,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags,
        inotify::{self, CreateFlags, WatchFlags},
    },
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType,
    },
};
use thiserror::Error;
use tokio::io::{Interest, unix::AsyncFd};

use crate::process::ProcessRef;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, dir, flags, Mode::empty())?)
}

fn address(dir: &OwnedFd, name: &str) -> io::Result<SocketAddrUnix> {
    if name.is_empty() || name.contains(['/', '\0']) || matches!(name, "." | "..") {
        let message = format!("{name:?} is no name for a socket: give one path component");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))?)
}

/// A new socket; `flags` besides close-on-exec.
fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Whether `name` in `dir` is a socket; a symbolic link to one is not.
fn is_socket(dir: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Socket),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Listens at `name` in `dir`: mode 0600 from the first moment, non-blocking. A stale socket of that name is removed
/// first, anything else of that name is not.
///
/// # Errors
/// `AddrInUse` when `name` is taken by something that is no socket, `InvalidInput` for a name that is no component.
pub fn bind_in(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let dir = open_dir(dir)?;
    let address = address(&dir, name)?;
    if is_socket(&dir, name)? {
        rustix::fs::unlinkat(&dir, name, AtFlags::empty())?;
    }
    let socket = socket(SocketFlags::NONBLOCK)?;
    // The mode of the descriptor becomes the mode of the file that bind() makes.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Connects to `name` in `dir`; the stream is non-blocking. A listener that has not accepted yet holds the connection
/// in its backlog, so this returns at once.
///
/// # Errors
/// `NotFound` and `ConnectionRefused` when nobody listens, `WouldBlock` when the listener's backlog is full.
pub fn connect_in(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let dir = open_dir(dir)?;
    let address = address(&dir, name)?;
    let socket = socket(SocketFlags::NONBLOCK)?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

/// Sends bytes with one descriptor (`SCM_RIGHTS`), which travels with the first of them; says how many were sent, one at
/// least. The descriptor here stays open.
///
/// # Errors
/// As `sendmsg(2)`; `WouldBlock`, with nothing sent, on a non-blocking socket whose buffer is full.
pub fn send_with_fd(socket: impl AsFd, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(dir), Some(name)) if dir.as_os_str().is_empty() => Ok((Path::new("."), name)),
        (Some(dir), Some(name)) => Ok((dir, name)),
        (None, _) | (_, None) => {
            let message = format!("{} does not end in a socket's name", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

/// [`bind_in`] with directory and name in one path.
///
/// # Errors
/// As [`bind_in`].
pub fn bind_at(path: &Path) -> io::Result<UnixListener> {
    let (dir, name) = split(path)?;
    bind_in(dir, name)
}

/// [`connect_in`] with directory and name in one path.
///
/// # Errors
/// As [`connect_in`].
pub fn connect_at(path: &Path) -> io::Result<UnixStream> {
    let (dir, name) = split(path)?;
    connect_in(dir, name)
}

/// The listening socket that this process was started with, by its number there; that one stays open.
///
/// # Errors
/// When the descriptor is not open; `InvalidInput` when it is no listening socket.
#[expect(unsafe_code, reason = "a descriptor's number is all that tells of one that was inherited")]
pub fn inherited_listener(fd: RawFd) -> io::Result<UnixListener> {
    let refuse = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {fd} {what}"));
    if fd < 0 {
        return Err(refuse("is not open"));
    }
    // SAFETY: -1 is ruled out; the borrow ends with this statement, and a closed descriptor is an error of dup's.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
    match rustix::net::sockopt::socket_acceptconn(&socket) {
        Ok(true) => Ok(UnixListener::from(socket)),
        Ok(false) => Err(refuse("does not listen")),
        Err(_not_a_socket) => Err(refuse("is no socket")),
    }
}

/// Whether `server` listens on a socket that it bound by a path ending in `name`.
///
/// Read from its `/proc/<pid>/net/unix`, where flag `00010000` marks a listening socket, and narrowed to its own
/// descriptors, for the path in that table is just what the server passed to `bind(2)` and may be relative.
///
/// # Errors
/// `NotFound` when the process is gone.
pub fn is_listening(server: &ProcessRef, name: &str) -> io::Result<bool> {
    let table = fs::read_to_string(format!("/proc/{}/net/unix", server.pid))?;
    let inodes: Vec<&str> = table.lines().skip(1).filter_map(|line| listener_named(line, name)).collect();
    if inodes.is_empty() {
        return Ok(false);
    }
    for entry in fs::read_dir(format!("/proc/{}/fd", server.pid))? {
        // A descriptor may be closed while the directory is read.
        let Ok(link) = fs::read_link(entry?.path()) else { continue };
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        if inode.is_some_and(|inode| inodes.contains(&inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The inode in a line of `/proc/net/unix` if it is of a listening socket whose path ends in `name`.
fn listener_named<'line>(line: &'line str, name: &str) -> Option<&'line str> {
    let mut fields = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let inode = fields.nth(2)?;
    let path = fields.next()?;
    let listening = flags & 0x0001_0000 != 0;
    (listening && Path::new(path).file_name().is_some_and(|last| last == name)).then_some(inode)
}

/// Why a socket did not come to be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was up.
    #[error("no {} within {after:?}: look into the log of the process that should listen there", path.display())]
    Timeout {
        /// The socket waited for.
        path: PathBuf,
        /// The time allowed.
        after: Duration,
    },
    /// The process that was to listen has exited.
    #[error("process {} exited before it listened on {}: look into its log", server.pid, path.display())]
    ServerExited {
        /// The socket waited for.
        path: PathBuf,
        /// The process.
        server: ProcessRef,
    },
    /// The directory cannot be watched.
    #[error("cannot watch for {}", path.display())]
    Watch {
        /// The socket waited for.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

/// Waits until the socket `name` is in `dir` and, where a `server` is given, until that process listens on it.
///
/// The directory is watched by inotify and the server by its pidfd. Between `bind(2)`, which inotify reports, and
/// `listen(2)`, which nothing reports, lie microseconds: only for those is the state looked up again, once a
/// millisecond.
///
/// # Errors
/// [`WaitError`].
pub async fn wait_for_socket(
    dir: &Path,
    name: &str,
    server: Option<ProcessRef>,
    timeout: Duration,
) -> Result<(), WaitError> {
    let path = || dir.join(name);
    let watch = |source: io::Error| WaitError::Watch { path: path(), source };
    match tokio::time::timeout(timeout, wait(dir, name, server)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => match server {
            Some(server) => Err(WaitError::ServerExited { path: path(), server }),
            None => Err(watch(io::ErrorKind::NotFound.into())),
        },
        Ok(Err(source)) => Err(watch(source)),
        Err(_elapsed) => Err(WaitError::Timeout { path: path(), after: timeout }),
    }
}

/// `false`: the server is gone.
async fn wait(dir: &Path, name: &str, server: Option<ProcessRef>) -> io::Result<bool> {
    let pidfd = match server.map(|server| server.open()).transpose()? {
        Some(None) => return Ok(false),
        Some(Some(pidfd)) => Some(pidfd),
        None => None,
    };
    let gone = async {
        match &pidfd {
            Some(pidfd) => pidfd.exited().await,
            None => std::future::pending().await,
        }
    };
    let dir_fd = open_dir(dir)?;
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&events, dir, WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
    let events = crate::watch(events, Interest::READABLE)?;
    let appears = async {
        while !is_socket(&dir_fd, name)? {
            let mut ready = events.readable().await?;
            drain(&events)?;
            ready.clear_ready();
        }
        if let Some(server) = server {
            while !is_listening(&server, name)? {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        io::Result::Ok(true)
    };
    tokio::select! {
        biased;
        exit = gone => exit.map(|()| false),
        done = appears => match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            done => done,
        },
    }
}

/// Takes what events there are: which ones does not matter, since the directory is looked at after each.
fn drain(events: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::read(events.get_ref(), &mut buffer) {
            Ok(0) | Err(Errno::WOULDBLOCK) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
