//! A process's own way from the launching process into a running container, and to its program.
//!
//! `libcontainer`'s way takes three more processes and reads the whole specification again; this one takes none. What
//! is delicate is done with its parts: limits, capabilities, the filter of system calls, the terminal. The process is in
//! the container's cgroup and pid namespace since its fork.

use std::{
    convert::Infallible,
    error::Error,
    fs, io,
    os::{
        fd::{AsFd as _, IntoRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::Command,
};

use libcontainer::{
    capabilities, seccomp,
    syscall::{Syscall, syscall::SyscallType},
    tty,
};
use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::{
    process::{Gid, Uid},
    termios::Winsize,
};

use super::{
    launch::{Enter, Step, Stopped},
    worker,
};
use crate::sys::namespace;

/// Enters the container of which `init` is a pidfd and becomes the program.
///
/// # Errors
/// [`Stopped`]; it does not return otherwise.
pub(super) fn enter(enter: &Enter, init: &OwnedFd, stdio: &[OwnedFd]) -> Result<Infallible, Stopped> {
    let Enter { process, seccomp, console, users } = enter;
    let syscall = SyscallType::default().create_syscall();
    set_limits(process, &*syscall)?;
    let console = console.as_deref().map(UnixStream::connect).transpose().map_err(at(Step::Streams))?;
    rustix::process::setsid().map_err(at(Step::Streams))?;
    namespace::join(init.as_fd(), *users).map_err(at(Step::Namespaces))?;
    match console {
        Some(console) => take_terminal(console, process, &*syscall)?,
        None => take_streams(stdio)?,
    }
    give_streams(process);
    // With root's rights: the user may not be allowed to go there. A directory on a file system that lets not even root in
    // is tried again as the user.
    let refused = match std::env::set_current_dir(process.cwd()) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            return Err(at(Step::WorkingDirectory)(error));
        }
        result => result.is_err(),
    };
    // All but the standard streams close with the start of the program.
    syscall.close_range(0).map_err(because(Step::Streams))?;
    // Without "no new privileges" a filter takes privileges to set, which are about to go.
    let no_new_privileges = process.no_new_privileges() == Some(true);
    if no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(at(Step::Identity))?;
    } else {
        filter(seccomp.as_ref())?;
    }
    become_user(process, *users, &*syscall)?;
    if refused {
        std::env::set_current_dir(process.cwd()).map_err(at(Step::WorkingDirectory))?;
    }
    // A directory outside of the container's root has no absolute path here.
    let inside = std::env::current_dir().map_err(at(Step::WorkingDirectory))?;
    if !inside.is_absolute() {
        return Err(stopped(Step::WorkingDirectory, "it is outside of the container"));
    }
    if no_new_privileges {
        filter(seccomp.as_ref())?;
    }
    Err(at(Step::Program)(execute(process)))
}

fn set_limits(process: &Process, syscall: &dyn Syscall) -> Result<(), Stopped> {
    if let Some(score) = process.oom_score_adj() {
        fs::write("/proc/self/oom_score_adj", score.to_string()).map_err(at(Step::Limits))?;
    }
    for limit in process.rlimits().iter().flatten() {
        syscall.set_rlimit(limit).map_err(because(Step::Limits))?;
    }
    Ok(())
}

fn take_terminal(console: UnixStream, process: &Process, syscall: &dyn Syscall) -> Result<(), Stopped> {
    // The socket is closed there.
    tty::setup_console(syscall, console.into_raw_fd(), false).map_err(because(Step::Streams))?;
    if let Some(size) = process.console_size() {
        let clamp = |size| u16::try_from(size).unwrap_or(u16::MAX);
        let size =
            Winsize { ws_row: clamp(size.height()), ws_col: clamp(size.width()), ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(rustix::stdio::stdin(), size).map_err(at(Step::Streams))?;
    }
    Ok(())
}

fn take_streams(stdio: &[OwnedFd]) -> Result<(), Stopped> {
    let [stdin, stdout, stderr] = stdio else { return Err(stopped(Step::Streams, "there are none")) };
    rustix::stdio::dup2_stdin(stdin).map_err(at(Step::Streams))?;
    rustix::stdio::dup2_stdout(stdout).map_err(at(Step::Streams))?;
    rustix::stdio::dup2_stderr(stderr).map_err(at(Step::Streams))
}

/// Lets the user open the streams by their names (`/dev/stdout`). Who cannot be given them has them open at least.
fn give_streams(process: &Process) {
    let user = Some(Uid::from_raw(process.user().uid()));
    if process.user().uid() != 0 {
        for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
            rustix::fs::fchown(stream, user, None).ok();
        }
    }
}

fn become_user(process: &Process, users: bool, syscall: &dyn Syscall) -> Result<(), Stopped> {
    let user = process.user();
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    // In a user namespace it may be denied, and then there is nothing to take away either.
    if !(users && groups.is_empty()) {
        rustix::thread::set_thread_groups(&groups).map_err(at(Step::Identity))?;
    }
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    rustix::thread::set_keep_capabilities(true).map_err(at(Step::Identity))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(at(Step::Identity))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(at(Step::Identity))?;
    rustix::thread::set_keep_capabilities(false).map_err(at(Step::Identity))?;
    capabilities::reset_effective(syscall).map_err(because(Step::Identity))?;
    match process.capabilities() {
        Some(wanted) => capabilities::drop_privileges(wanted, syscall).map_err(because(Step::Identity)),
        None => Ok(()),
    }
}

fn filter(wanted: Option<&LinuxSeccomp>) -> Result<(), Stopped> {
    let Some(wanted) = wanted else { return Ok(()) };
    match seccomp::initialize_seccomp(wanted).map_err(because(Step::Seccomp))? {
        None => Ok(()),
        Some(_listener) => Err(stopped(Step::Seccomp, "nobody listens to its notifications")),
    }
}

/// Becomes the program, searched for in the process's own `PATH`; signals are as a program expects them then.
pub(super) fn execute(process: &Process) -> io::Error {
    let args = process.args().as_deref().unwrap_or_default();
    let [program, args @ ..] = args else { return io::ErrorKind::InvalidInput.into() };
    let env = process.env().iter().flatten().filter_map(|entry| entry.split_once('='));
    Command::new(Path::new(program)).args(args).env_clear().envs(env).exec()
}

fn at<E: Into<io::Error>>(step: Step) -> impl FnOnce(E) -> Stopped {
    move |error| {
        let error: io::Error = error.into();
        Stopped { step, errno: error.raw_os_error(), reason: error.to_string() }
    }
}

fn because<E: Error>(step: Step) -> impl FnOnce(E) -> Stopped {
    move |error| stopped(step, &worker::chain(&error))
}

fn stopped(step: Step, reason: &str) -> Stopped {
    Stopped { step, errno: None, reason: reason.to_owned() }
}
