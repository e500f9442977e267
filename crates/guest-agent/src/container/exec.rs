//! Executing another process in a running container.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use oci_spec::runtime::{Mount, Process as OciProcess};
use rustix::io::Errno;
use virtcontainers_types::ExecId;

use super::{
    Container, State,
    create::{Terminal, launch_with},
    launch::{Enter, LaunchError, Place, Request, Step},
    spec, user,
    user::StringUser,
};
use crate::{agent::Agent, error::CallError, sys::namespace};

/// Executes `process`; it runs when this returns.
///
/// # Errors
/// [`CallError::WrongState`] unless the container runs, [`CallError::Exists`] for an id in use, and those of a launch.
pub async fn exec(
    agent: &Agent,
    container: &Arc<Container>,
    id: &ExecId,
    process: OciProcess,
    user: &StringUser,
) -> Result<(), CallError> {
    match container.state() {
        State::Running => {}
        State::Created | State::Paused | State::Stopped => {
            return Err(container.wrong_state("a process can be executed in a running container only"));
        }
    }
    if container.names_init(id.as_str()) {
        return Err(CallError::Exists { what: "process", id: id.to_string() });
    }
    let mut process = process;
    inherit(&mut process, &container.process);
    user::apply(&mut process, user, &container.rootfs)?;
    spec::complete_process(&mut process)?;
    container.table().reserve(id.as_str())?;
    let launched = launch_in(agent, container, id, process.clone()).await;
    match launched {
        Ok(process) => {
            container.table().fill(Arc::new(process));
            Ok(())
        }
        Err(error) => {
            container.table().forget(id.as_str());
            Err(diagnose(&container.rootfs, &[], Some(&process), error))
        }
    }
}

async fn launch_in(
    agent: &Agent,
    container: &Container,
    id: &ExecId,
    process: OciProcess,
) -> Result<crate::process::Process, CallError> {
    let init = container.init();
    let directory = container.cgroup().directory();
    let place = Place {
        init: agent
            .reaper()
            .pidfd(init.pid())
            .map_err(CallError::io("find the first process of", directory))?,
        cgroup: File::open(directory).map_err(CallError::io("open", directory))?.into(),
    };
    let users = namespace::has_own_users(init.pid()).map_err(CallError::io("look into", directory))?;
    let terminal = Terminal::wanted(agent, &process)?;
    let console = terminal.as_ref().map(|terminal| terminal.path.clone());
    let request =
        Request::Enter(Box::new(Enter { process, seccomp: container.seccomp.clone(), console, users }));
    launch_with(agent, request, Some(place), terminal, id.to_string()).await
}

/// An executed process must not have more rights than the container because the request is silent about them.
fn inherit(process: &mut OciProcess, first: &OciProcess) {
    if process.capabilities().is_none() {
        process.set_capabilities(first.capabilities().clone());
    }
    if process.rlimits().is_none() {
        process.set_rlimits(first.rlimits().clone());
    }
    if first.no_new_privileges() == Some(true) {
        process.set_no_new_privileges(Some(true));
    }
}

/// Why a launch failed, in the host's terms, where the container's root tells: a missing executable is the usual reason,
/// and the host wants to know it from others. What lies below one of `mounts` cannot be seen there.
pub(super) fn diagnose(
    rootfs: &Path,
    mounts: &[Mount],
    process: Option<&OciProcess>,
    error: CallError,
) -> CallError {
    let (CallError::Launch(launch), Some(process)) = (&error, process) else { return error };
    let cause = match launch {
        LaunchError::Stopped(stopped) => match (stopped.step, stopped.errno.map(Errno::from_raw_os_error)) {
            (Step::WorkingDirectory, _) => return lost(process, stopped.reason.clone()),
            (Step::Program, Some(Errno::NOENT)) => search(rootfs, process),
            (Step::Program, Some(Errno::ACCESS)) => Some(Program::NotExecutable),
            _ => None,
        },
        LaunchError::Failed(reason) => {
            let visible = !mounts.iter().any(|mount| process.cwd().starts_with(mount.destination()));
            if visible && user::open_in_root(rootfs, process.cwd()).is_err() {
                return lost(process, reason.clone());
            }
            search(rootfs, process)
        }
        LaunchError::Refused(_)
        | LaunchError::WorkingDirectory { .. }
        | LaunchError::WorkerEnded
        | LaunchError::Timeout
        | LaunchError::Io { .. }
        | LaunchError::Garbled(_) => None,
    };
    let name = process.args().iter().flatten().next().cloned().unwrap_or_default();
    match cause {
        Some(Program::Absent) => CallError::NoExecutable(name),
        Some(Program::NotExecutable) => CallError::NotExecutable(name),
        None => error,
    }
}

fn lost(process: &OciProcess, reason: String) -> CallError {
    LaunchError::WorkingDirectory { path: process.cwd().clone(), reason }.into()
}

/// What is wrong with a program.
enum Program {
    Absent,
    NotExecutable,
}

/// Looks for the process's program in the container's root; none when nothing is wrong with it.
fn search(rootfs: &Path, process: &OciProcess) -> Option<Program> {
    let name = process.args().as_ref()?.first()?;
    let path =
        process.env().iter().flatten().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let candidates: Vec<String> = if name.contains('/') {
        vec![process.cwd().join(name).display().to_string()]
    } else {
        path.split(':').map(|directory| format!("{directory}/{name}")).collect()
    };
    let mut found =
        candidates.iter().filter_map(|file| user::open_in_root(rootfs, Path::new(file)).ok()).peekable();
    if found.peek().is_none() {
        return Some(Program::Absent);
    }
    let executable = |file: OwnedFd| {
        File::from(file).metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if found.any(executable) { None } else { Some(Program::NotExecutable) }
}
