//! A program on a pseudoterminal of its own (pty(7)).

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Command, Stdio},
};

use rustix::pty::OpenptFlags;

/// Starts `command` as the leader of a new session whose terminal is a new pty; gives the controlling side, not
/// blocking, and the pid. Whoever collects children collects it.
///
/// # Errors
/// When there is no pty left, or the program cannot be executed.
pub fn spawn(mut command: Command) -> io::Result<(OwnedFd, u32)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    command.stdin(Stdio::from(slave.try_clone()?));
    command.stdout(Stdio::from(slave.try_clone()?));
    command.stderr(Stdio::from(slave));
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
        });
    }
    let child = command.spawn()?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok((master, child.id()))
}
