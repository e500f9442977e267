//! Starting processes that are to be supervised: the VMM, its daemons, the proxy and the shim.
//!
//! A supervised process leads its own session, sees `/dev/null` for input and output, appends its errors to a file, has
//! an environment of few known variables and exactly the descriptors that it was given. It outlives its starter: to
//! drop a [`Child`] is not to kill it.

mod confine;
mod error;

pub use error::SpawnError;

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::{
    fs::{CWD, Mode, OFlags},
    process::{Resource, Rlimit},
};

use crate::{
    process::{Mark, PidFd, ProcessRef, Signal},
    task,
};

/// The variables that a supervised process inherits when this process has them.
const INHERITED: [&str; 5] = ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"];

/// A process to be started.
#[derive(Debug)]
#[must_use = "nothing runs before spawn()"]
pub struct Spawn {
    program: PathBuf,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    fds: Vec<FdMapping>,
    stderr: Option<PathBuf>,
    death_signal: Option<Signal>,
    confined: bool,
    own_mounts: bool,
    largest_file: Option<u64>,
    netns: Option<OwnedFd>,
    cgroups: Vec<PathBuf>,
}

impl Spawn {
    /// A process of this program: a path, or a name to be looked for on `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arg0: None,
            args: Vec::new(),
            cwd: None,
            env: Vec::new(),
            fds: Vec::new(),
            stderr: None,
            death_signal: None,
            confined: false,
            own_mounts: false,
            largest_file: None,
            netns: None,
            cgroups: Vec::new(),
        }
    }

    /// Sets the name that the program is told it was called by (`argv[0]`); without this, its path.
    pub fn arg0(mut self, name: impl Into<OsString>) -> Self {
        self.arg0 = Some(name.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets a variable. Apart from these, a process gets only `PATH`, `LD_LIBRARY_PATH`, `TMPDIR`, `RUST_LOG` and
    /// `RUST_BACKTRACE` of its starter.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Hands over a descriptor, to be `number` in the process: 0 to 2 replace the standard ones.
    pub fn fd(mut self, fd: OwnedFd, number: i32) -> Self {
        self.fds.push(FdMapping { parent_fd: fd, child_fd: number });
        self
    }

    /// Marks the process, so that it can be found without a record, and has it start in the mark's control groups.
    pub fn mark(mut self, mark: &Mark) -> Self {
        self.cgroups = mark.cgroups().to_vec();
        self.env(Mark::VAR, mark.value())
    }

    /// Appends the process's standard error to this file (created with mode 0640, symbolic links refused).
    pub fn stderr(mut self, path: impl Into<PathBuf>) -> Self {
        self.stderr = Some(path.into());
        self
    }

    /// Has the kernel send this signal when the *thread* that called [`Spawn::spawn`] ends (`PR_SET_PDEATHSIG`).
    pub fn parent_death_signal(mut self, signal: Signal) -> Self {
        self.death_signal = Some(signal);
        self
    }

    /// Starts it in mount, network, ipc, uts and pid namespaces of its own. What is mounted on the host later appears
    /// there, and not the other way round. As the first process of its pid namespace, it gets of the signals that it
    /// does not handle only `SIGKILL` and `SIGSTOP`.
    pub fn confined(mut self) -> Self {
        self.confined = true;
        self
    }

    /// Starts it in a mount namespace of its own: what is mounted on the host later appears there, and not the other way
    /// round. [`Spawn::confined`] has this in it.
    pub fn own_mounts(mut self) -> Self {
        self.own_mounts = true;
        self
    }

    /// Bounds every file that it writes, its errors' among them: a write beyond this many bytes fails, and nothing else
    /// happens (`RLIMIT_FSIZE`, with `SIGXFSZ` ignored). For programs that write none of a user's files.
    pub fn largest_file(mut self, bytes: u64) -> Self {
        self.largest_file = Some(bytes);
        self
    }

    /// Starts it in this network namespace; the starter stays where it is. Not together with [`Spawn::confined`], which
    /// makes a new one.
    pub fn netns(mut self, netns: OwnedFd) -> Self {
        self.netns = Some(netns);
        self
    }

    /// Starts the process. When this returns, the program has been executed.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left in that case.
    pub fn spawn(self) -> Result<Child, SpawnError> {
        let program = self.program;
        let mut command = Command::new(&program);
        command.args(self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
        command.envs(INHERITED.into_iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
        command.envs(self.env);
        if let Some(name) = self.arg0 {
            command.arg0(name);
        }
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        if let Some(path) = self.stderr {
            match open_log(&path) {
                Ok(log) => command.stderr(log),
                Err(source) => return Err(SpawnError::Log { program, path, source }),
            };
        }
        let cgroups = self.cgroups;
        if let Err(source) = enter_cgroups(&mut command, &cgroups) {
            return Err(SpawnError::Cgroup { program, cgroups, source });
        }
        let placed = self.netns.is_some();
        if let Some(netns) = self.netns {
            enter_netns(&mut command, netns);
        }
        lead_session(&mut command, self.death_signal);
        if let Err(collision) = command.fd_mappings(self.fds) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, collision);
            return Err(SpawnError::Failed { program, source });
        }
        if self.own_mounts {
            confine::with_own_mounts(&mut command);
        }
        if let Some(bytes) = self.largest_file {
            bound_files(&mut command, bytes);
        }
        let spawned = if self.confined { confine::spawn(&mut command) } else { command.spawn() };
        match spawned {
            Ok(child) => Child::adopt(child).map_err(|source| SpawnError::Failed { program, source }),
            // A missing working directory is "not found" as well, but not the program's fault.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && self.cwd.is_none_or(|dir| dir.is_dir()) =>
            {
                Err(SpawnError::NotFound { program })
            }
            Err(source) if !cgroups.is_empty() && is_full(&source) => {
                Err(SpawnError::Cgroup { program, cgroups, source })
            }
            Err(source) if placed && is_refusal(&source) => Err(SpawnError::Netns { program, source }),
            Err(source) if (self.confined || self.own_mounts) && is_refusal(&source) => {
                Err(SpawnError::NotConfined { program, source })
            }
            Err(source) => Err(SpawnError::Failed { program, source }),
        }
    }
}

/// Whether the kernel refuses namespaces: for want of privileges, of room, or of the namespaces, or because what was
/// given is none.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSPC | libc::EINVAL | libc::EUSERS))
}

/// Whether the kernel lets nobody into a control group: it was removed, has processors or memory for nobody, or is one
/// that only holds others.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOSPC | libc::EBUSY | libc::EOPNOTSUPP))
}

fn open_log(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o640))?)
}

/// Has the child enter control groups before anything else: its program never runs outside. The lists are opened here, so
/// that a group that is not there is told from a program that is not.
#[expect(unsafe_code, reason = "the child is to be in them before its program is executed")]
fn enter_cgroups(command: &mut Command, dirs: &[PathBuf]) -> io::Result<()> {
    let open = |dir: &PathBuf| {
        rustix::fs::open(dir.join(crate::cgroup::PROCS), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    };
    let lists = dirs.iter().map(open).collect::<Result<Vec<OwnedFd>, _>>()?;
    if lists.is_empty() {
        return Ok(());
    }
    // 0 is whoever writes.
    let enter = move || lists.iter().try_for_each(|list| Ok(rustix::io::write(list, b"0").map(drop)?));
    // SAFETY: between fork and exec the closure writes constant bytes to descriptors that it owns; write(2) is
    // async-signal-safe, and nothing here allocates or takes a lock.
    unsafe {
        command.pre_exec(enter);
    }
    Ok(())
}

/// Enters a network namespace in the child, which has one thread only. The descriptor, close-on-exec as it is, is gone
/// when the program runs.
#[expect(unsafe_code, reason = "only the child is to enter, between fork and exec")]
fn enter_netns(command: &mut Command, netns: OwnedFd) {
    let enter = move || crate::netns::enter(netns.as_fd());
    // SAFETY: between fork and exec the closure makes one plain system call on a descriptor that it owns; setns(2) is
    // async-signal-safe, and nothing here allocates or takes a lock.
    unsafe {
        command.pre_exec(enter);
    }
}

#[expect(unsafe_code, reason = "a session of its own can only be asked for between fork and exec")]
fn lead_session(command: &mut Command, death_signal: Option<Signal>) {
    let enter = move || {
        rustix::process::setsid()?;
        close_on_exec_from(3)?;
        if death_signal.is_some() {
            rustix::process::set_parent_process_death_signal(death_signal)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes plain system calls and touches no memory but its own; all of them
    // are async-signal-safe, none allocates or takes a lock.
    unsafe {
        command.pre_exec(enter);
    }
}

#[expect(unsafe_code, reason = "the bound is the child's, between fork and exec")]
fn bound_files(command: &mut Command, bytes: u64) {
    let bound = move || {
        // SAFETY: to ignore a signal runs no handler and touches no memory.
        if unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        Ok(rustix::process::setrlimit(Resource::Fsize, limit)?)
    };
    // SAFETY: between fork and exec the closure makes two plain system calls, both async-signal-safe; it allocates nothing
    // and takes no lock.
    unsafe {
        command.pre_exec(bound);
    }
}

/// What this process itself inherited or opened carelessly is not passed on. The descriptors to be handed over are put
/// in their places after this.
#[expect(unsafe_code, reason = "rustix has no close_range")]
fn close_on_exec_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC the call closes nothing here and now and reads no memory.
    let code =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A process that this one started and can reap.
#[derive(Debug)]
pub struct Child {
    process: ProcessRef,
    pidfd: PidFd,
    child: std::process::Child,
    status: Option<ExitStatus>,
}

impl Child {
    fn adopt(child: std::process::Child) -> io::Result<Self> {
        // Nobody else reaps it, so its pid cannot change hands before `status` is set.
        let process = ProcessRef::of(child.id())?;
        let pidfd = process.open()?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { process, pidfd, child, status: None })
    }

    /// The process's identity, for records.
    #[must_use]
    pub fn process(&self) -> ProcessRef {
        self.process
    }

    /// Waits for the process to exit and reaps it. Cancel safe; answers the same when asked again.
    ///
    /// # Errors
    /// When the process cannot be watched.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.pidfd.exited().await?;
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// The exit status if the process has exited.
    ///
    /// # Errors
    /// As `waitpid(2)`.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Sends a signal. `false`: the process has already exited.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        self.pidfd.signal(signal)
    }
}

/// The process runs on. So that it does not stay a zombie after its exit, a task of the current runtime, if there is
/// one, stays behind to reap it.
impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.try_wait(), Ok(None)) || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let Ok(Some(pidfd)) = self.process.open() else { return };
        let Some(pid) = i32::try_from(self.process.pid).ok().and_then(rustix::process::Pid::from_raw) else {
            return;
        };
        task::spawn("reap", async move {
            if pidfd.exited().await.is_ok() {
                // An error means that it is reaped already, which is all that is wanted.
                rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
            }
        })
        .detach();
    }
}

/// Says in words how a process ended: `exit code 1`, `signal 9`.
#[must_use]
pub fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
