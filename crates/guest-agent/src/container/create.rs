//! Creating a container: its first process is there and waits for the start.

use std::{
    fs,
    os::unix::{fs::DirBuilderExt as _, net::UnixListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use oci_spec::runtime::Spec;
use virtcontainers_sys::unix;
use virtcontainers_types::{ContainerId, ExecId};

use super::{
    Container, State,
    cgroup::Cgroup,
    dns,
    hooks::Hooks,
    launch::{self, LaunchError, Place, Request},
};
use crate::{
    agent::{Agent, Reservation},
    error::CallError,
    process::{Process, Stdio},
};

/// A container to be made: the specification is prepared ([`super::spec`]) and its storages are mounted.
#[derive(Debug)]
pub struct Plan {
    /// The id, taken.
    pub reservation: Reservation,
    /// The first process's exec id; the container's own when none was given.
    pub exec: Option<ExecId>,
    /// The specification.
    pub spec: Spec,
    /// Mount points that the container holds.
    pub storages: Vec<PathBuf>,
    /// The hooks that are the agent's to run.
    pub hooks: Hooks,
    /// Whether the specification's pid namespace is the sandbox's.
    pub shares_pids: bool,
}

/// Makes the container. Storages stay the caller's until it succeeds.
///
/// # Errors
/// [`CallError`]; nothing is left behind then.
pub async fn create(agent: &Arc<Agent>, plan: Plan) -> Result<(), CallError> {
    let id = plan.reservation.id().clone();
    let bundle = agent.settings().bundle(&id);
    let made = launch_first(agent, &id, &bundle, &plan).await;
    let (process, spec) = match made {
        Ok(made) => made,
        Err(error) => {
            // It has not been made by now, or hinders nobody when it stays. The id is still taken.
            Cgroup::of(id.as_str()).remove().ok();
            clear(agent, &id);
            return Err(error);
        }
    };
    let rootfs = spec.root().as_ref().map(|root| root.path().clone()).unwrap_or_default();
    let container = Container {
        cgroup: Cgroup::of(id.as_str()),
        id,
        init: Arc::new(process),
        rootfs,
        process: spec.process().clone().unwrap_or_default(),
        seccomp: spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()),
        storages: plan.storages,
        bundle,
        annotations: spec.annotations().clone().unwrap_or_default(),
        hooks: plan.hooks,
        shares_pids: plan.shares_pids,
        state: Mutex::new(State::Created),
        processes: Mutex::default(),
        verb: tokio::sync::Mutex::new(()),
    };
    plan.reservation.fill(Arc::new(container));
    Ok(())
}

async fn launch_first(
    agent: &Arc<Agent>,
    id: &ContainerId,
    bundle: &Path,
    plan: &Plan,
) -> Result<(Process, Spec), CallError> {
    let settings = agent.settings();
    make_directory(bundle)?;
    make_directory(&settings.states())?;
    let mut spec = plan.spec.clone();
    dns::give(&mut spec, bundle, &agent.sandbox().unwrap_or_default().dns)?;
    let config = bundle.join("config.json");
    let text = serde_json::to_vec(&spec).map_err(LaunchError::from)?;
    fs::write(&config, text).map_err(CallError::io("write", &config))?;
    let process = spec.process().clone().unwrap_or_default();
    let terminal = Terminal::wanted(agent, &process)?;
    let request = Request::Create {
        id: id.to_string(),
        bundle: bundle.to_owned(),
        states: settings.states(),
        console: terminal.as_ref().map(|terminal| terminal.path.clone()),
        pivot: settings.pivot,
    };
    let exec = plan.exec.as_ref().map_or(id.as_str(), ExecId::as_str).to_owned();
    let process = launch_with(agent, request, None, terminal, exec).await;
    let rootfs = spec.root().as_ref().map(|root| root.path().clone()).unwrap_or_default();
    match process {
        Ok(process) => Ok((process, spec)),
        Err(error) => {
            let mounts = spec.mounts().as_deref().unwrap_or_default();
            Err(super::exec::diagnose(&rootfs, mounts, spec.process().as_ref(), error))
        }
    }
}

/// Launches `request`, in a running container if there is a `place`, with pipes or with the terminal that was prepared for it.
pub(super) async fn launch_with(
    agent: &Agent,
    request: Request,
    place: Option<Place>,
    terminal: Option<Terminal>,
    exec: String,
) -> Result<Process, CallError> {
    let process = match terminal {
        Some(terminal) => {
            let (pid, exit) = agent.launcher().launch(&request, place, None).await?;
            let master = launch::take_terminal(&terminal.socket)?;
            let stdio =
                Stdio::terminal(master, terminal.size).map_err(LaunchError::io("set up the terminal"))?;
            Process::new(exec, pid, exit, stdio)
        }
        None => {
            let pipes = Stdio::pipes(agent.settings().pipe_size);
            let (child, stdio) = pipes.map_err(LaunchError::io("make the standard streams"))?;
            let (pid, exit) = agent.launcher().launch(&request, place, Some(child)).await?;
            Process::new(exec, pid, exit, stdio)
        }
    };
    Ok(process)
}

/// The socket over which `libcontainer` hands out the terminal that it makes inside of the container.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) path: PathBuf,
    socket: UnixListener,
    size: Option<(u16, u16)>,
}

impl Terminal {
    /// A socket for `process` if it wants a terminal. Its name is a number: ids are longer than a socket's address.
    pub(super) fn wanted(
        agent: &Agent,
        process: &oci_spec::runtime::Process,
    ) -> Result<Option<Self>, CallError> {
        if process.terminal() != Some(true) {
            return Ok(None);
        }
        let directory = agent.settings().consoles();
        make_directory(&directory)?;
        let name = agent.launcher().next_console().to_string();
        let path = directory.join(&name);
        let socket = unix::bind_in(&directory, &name).map_err(CallError::io("listen on", &path))?;
        let size = process.console_size().map(|size| (clamp(size.height()), clamp(size.width())));
        Ok(Some(Self { path, socket, size: size.filter(|size| *size != (0, 0)) }))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The number is not used again; a socket less is tidier, not needed.
        fs::remove_file(&self.path).ok();
    }
}

fn clamp(size: u64) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

fn make_directory(path: &Path) -> Result<(), CallError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(CallError::io("make", path))
}

/// Removes what a container leaves in the agent's directory. What is not there is no error, and what cannot be
/// removed hinders nobody: it lies in memory of a virtual machine that ends.
pub(super) fn clear(agent: &Agent, id: &ContainerId) {
    fs::remove_dir_all(agent.settings().states().join(id.as_str())).ok();
    fs::remove_dir_all(agent.settings().bundle(id)).ok();
}
