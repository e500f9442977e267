//! Executing another process in a running container.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use oci_spec::runtime::Process as OciProcess;
use virtcontainers_types::ExecId;

use super::{
    Container, State,
    create::{Terminal, launch_with},
    launch::{LaunchError, Request},
    spec, user,
    user::StringUser,
};
use crate::{agent::Agent, error::CallError};

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
            Err(diagnose(&container.rootfs, Some(&process), error))
        }
    }
}

async fn launch_in(
    agent: &Agent,
    container: &Container,
    id: &ExecId,
    process: OciProcess,
) -> Result<crate::process::Process, CallError> {
    let terminal = Terminal::wanted(agent, &process)?;
    let request = Request::Exec {
        id: container.id.to_string(),
        states: agent.settings().states(),
        console: terminal.as_ref().map(|terminal| terminal.path.clone()),
        process: Box::new(process),
    };
    launch_with(agent, request, terminal, id.to_string()).await
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

/// Why a launch failed, from what can be seen afterwards: an executable that is not in the container's root is the
/// usual reason, and the host wants to know it from others.
pub(super) fn diagnose(rootfs: &Path, process: Option<&OciProcess>, error: CallError) -> CallError {
    if !matches!(error, CallError::Launch(LaunchError::Failed(_))) {
        return error;
    }
    let Some(process) = process else { return error };
    let Some(name) = process.args().as_ref().and_then(|args| args.first()) else { return error };
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
        return CallError::NoExecutable(name.clone());
    }
    let executable = |file: OwnedFd| {
        File::from(file).metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if found.any(executable) { error } else { CallError::NotExecutable(name.clone()) }
}
