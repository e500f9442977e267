//! Sockets with names of any length: those of a process's id can be longer than an address takes.

use std::{
    io,
    os::{
        fd::AsRawFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
};

use rustix::fs::{Mode, OFlags};
use virtcontainers_sys::unix;

/// The name under which a socket is made before it gets its own.
const INCOMING: &str = ".new.sock";

/// Listens at `name` in `dir`. The caller is the only one at it: it holds the sandbox's lease.
pub(super) fn bind(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let listener = unix::bind_in(dir, INCOMING)?;
    std::fs::rename(dir.join(INCOMING), dir.join(name))?;
    Ok(listener)
}

/// Connects to the listener at `name` in `dir`, by way of a descriptor of the socket's file.
pub(super) fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = rustix::fs::openat(rustix::fs::CWD, dir.join(name), flags, Mode::empty())?;
    unix::connect_in(Path::new("/proc/self/fd"), &socket.as_raw_fd().to_string())
}
