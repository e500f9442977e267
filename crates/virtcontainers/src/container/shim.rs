//! Shims: processes on the host that stand for a container's processes in the guest.
//!
//! In a directory of the container lies, for each process that has a shim, a file `<process>.shim` that names it. It is
//! written before the shim goes to work, so that no shim works that nobody knows; the sandbox's record says beforehand
//! that there may be shims, which their mark finds. A shim that died is no error: its process runs on, and whoever wants
//! to know of it asks the agent.

use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use rustix::fs::{Mode, OFlags};
use virtcontainers_agent_client::shim::{
    ExitRecord, LOG_LIMIT, ShimOptions, ShimProcess, exit_name, log_name, socket_name,
};
use virtcontainers_store::{FaultPlan, Moment};
use virtcontainers_sys::{
    fs::{Durability, open_beneath, open_dir, read_bounded, remove_tree, write_atomically},
    process::{ProcessRef, Signal},
};
use virtcontainers_types::{AgentKind, ContainerId, ExecId, HypervisorKind, SandboxId, ShimKind};

use super::{Container, open_in_guest};
use crate::{
    config::Cmd,
    error::{Cause, Error},
    runtime::Runtime,
    sandbox::{Resource, Role, SandboxRecord, Session, Shared, cgroups, helper_program},
    state::ContainerOperation,
};

/// The directory for what shims leave, one below it for each container.
const CONTAINERS: &str = "containers";
/// What the name of a file that names a shim ends in.
const SUFFIX: &str = ".shim";
/// The largest such file that is read, in bytes.
const MAX: u64 = 4096;
/// How long a shim may take to record the last of an output and to end, once its process has ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The directory of all that a container's shims leave. It is there when there was a shim.
pub(crate) fn dir(runtime: &Runtime, sandbox: &SandboxId, container: &ContainerId) -> PathBuf {
    runtime.sandbox_dir(sandbox).join(CONTAINERS).join(container.as_str())
}

/// Makes that directory, if it is not there.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir);
    made.map_err(failed("make", dir))
}

/// Removes that directory with all that shims have left in it. They have ended.
pub(super) fn remove_dir(
    runtime: &Runtime,
    sandbox: &SandboxId,
    container: &ContainerId,
) -> Result<(), Error> {
    let containers = runtime.sandbox_dir(sandbox).join(CONTAINERS);
    let removed = match open_dir(&containers) {
        Ok(dir) => remove_tree(dir.as_fd(), container.as_str().as_ref()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(failed("remove what shims left in", &containers.join(container.as_str())))
}

/// Launches the shim of a process that runs without one, and lets it go.
pub(crate) async fn hand_over(container: Container, exec: ExecId) -> Result<(), Error> {
    let shared = container.shared();
    let (mut session, _, _) =
        open_in_guest(&shared, container.id(), ContainerOperation::Attend, "hand over a process of").await?;
    let dir = dir(session.runtime(), session.id(), container.id());
    if living(&dir, &exec).is_some() || exit(&dir, &exec).is_some() {
        return Ok(());
    }
    expect_shims(&mut session)?;
    let mut launched = launch(&shared, &session.record, container.id(), &exec).await?;
    match launched.go(&session.runtime().faults()).await {
        Ok(()) => Ok(()),
        Err(error) => {
            launched.discard().await;
            Err(error)
        }
    }
}

/// Whether a process is to have a shim.
pub(super) fn is_wanted(sandbox: &SandboxRecord, cmd: &Cmd) -> bool {
    let kind = cmd.shim.unwrap_or(sandbox.config.shim_type);
    match (kind, sandbox.config.agent_type) {
        (ShimKind::Kata, AgentKind::Kata) => true,
        (ShimKind::Kata, AgentKind::Noop) | (ShimKind::KataBuiltIn | ShimKind::Noop, _) => false,
    }
}

/// A shim that was launched for a process which is yet to be started.
pub(super) struct Launched {
    shim: ShimProcess,
    dir: PathBuf,
    exec: ExecId,
}

/// Launches the shim of a process that is about to be started. It has all that it needs, and waits to be let
/// [go](Launched::go).
pub(super) async fn launch(
    shared: &Shared,
    sandbox: &SandboxRecord,
    container: &ContainerId,
    exec: &ExecId,
) -> Result<Launched, Error> {
    let runtime = shared.runtime();
    let machine = sandbox.machine()?;
    let Some(agent) = machine.agent.clone() else {
        return Err(Cause::Interrupted(format!("sandbox {} has no agent to attend to", sandbox.id)).into());
    };
    let program = helper_program(runtime, sandbox.config.shim_config.path.as_deref(), "the shim's program")?;
    let dir = dir(runtime, &sandbox.id, container);
    make_dir(&dir)?;
    let options = ShimOptions {
        agent,
        container: container.clone(),
        exec: exec.clone(),
        dir: dir.clone(),
        sandbox_dir: runtime.sandbox_dir(&sandbox.id),
        vmm: machine.vm.process,
        console: (sandbox.config.hypervisor_type == HypervisorKind::Qemu)
            .then(|| virtcontainers_hypervisor::qemu::CONSOLE_SOCKET.to_owned()),
        outputs_first: !sandbox.config.agent_config.announces,
        log_limit: LOG_LIMIT,
    };
    let faults = runtime.faults();
    faults.pass("launch shim", Moment::Before).await.map_err(Cause::from)?;
    let mark = cgroups::mark(shared, &sandbox.resources, Role::Shim);
    let shim = ShimProcess::launch(&program, &options, &mark).await.map_err(Cause::from)?;
    let launched = Launched { shim, dir, exec: exec.clone() };
    let noted = async {
        faults.pass("launch shim", Moment::After).await.map_err(Cause::from)?;
        note(&launched.dir, exec, launched.shim.process()).map_err(failed("write", &launched.dir))
    };
    match noted.await {
        Ok(()) => Ok(launched),
        Err(error) => {
            launched.discard().await;
            Err(error)
        }
    }
}

impl Launched {
    /// Lets it attend to its process, which is there by now.
    pub(super) async fn go(&mut self, faults: &FaultPlan) -> Result<(), Error> {
        faults.pass("let shim go", Moment::Before).await.map_err(Cause::from)?;
        self.shim.go().await.map_err(Cause::from)?;
        Ok(faults.pass("let shim go", Moment::After).await.map_err(Cause::from)?)
    }

    /// Ends the shim of a process that was not started after all, with all that it left.
    pub(super) async fn discard(mut self) {
        if let Err(error) = self.shim.end().await {
            tracing::warn!(%error, process = %self.exec, "cannot end a shim");
        }
        for name in [log_name(&self.exec), exit_name(&self.exec)] {
            remove(&self.dir.join(name));
        }
        forget(&self.dir, &self.exec);
    }
}

/// Puts on record that there may be shims, before there is the first one.
pub(super) fn expect_shims(session: &mut Session) -> Result<(), Error> {
    if session.record.resources.iter().any(|resource| resource.role() == Some(Role::Shim)) {
        return Ok(());
    }
    // The first in the list is released last: a shim ends by itself once the machine is gone.
    // Released late, but before the control groups, which would end them at once.
    let place = usize::from(session.record.resources.first().and_then(Resource::cgroups).is_some());
    session.record.resources.insert(place, Resource::Daemon { role: Role::Shim, process: None });
    session.save()
}

/// Whether the record says already that there may be shims.
pub(super) fn are_expected(sandbox: &SandboxRecord) -> bool {
    sandbox.resources.iter().any(|resource| resource.role() == Some(Role::Shim))
}

fn note(dir: &Path, exec: &ExecId, process: ProcessRef) -> io::Result<()> {
    let dir = open_dir(dir)?;
    // No process outlives the kernel, so that its note need not either.
    write_atomically(
        dir.as_fd(),
        &format!("{exec}{SUFFIX}"),
        &serde_json::to_vec(&process)?,
        Durability::NoSync,
    )
}

/// The shim of a process, as it was noted: whether it lives is another question.
pub(crate) fn of(dir: &Path, exec: &ExecId) -> Option<ProcessRef> {
    read(dir, &format!("{exec}{SUFFIX}"))
}

/// The shim of a process, while it lives.
pub(crate) fn living(dir: &Path, exec: &ExecId) -> Option<ProcessRef> {
    of(dir, exec).filter(ProcessRef::is_alive)
}

fn read(dir: &Path, name: &str) -> Option<ProcessRef> {
    let read = || -> io::Result<ProcessRef> {
        let dir = open_dir(dir)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = open_beneath(dir.as_fd(), Path::new(name), flags, Mode::empty())?;
        Ok(serde_json::from_slice(&read_bounded(file, MAX)?)?)
    };
    match read() {
        Ok(process) => Some(process),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(%error, name, dir = %dir.display(), "cannot read which process a shim is");
            None
        }
    }
}

/// How a process that has or had a shim ended, if it did while the shim was there.
pub(crate) fn exit(dir: &Path, exec: &ExecId) -> Option<ExitRecord> {
    match ExitRecord::read(dir, exec) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::warn!(%error, %exec, dir = %dir.display(), "cannot read how a process ended");
            None
        }
    }
}

/// Waits for a shim's end.
pub(crate) async fn ended(shim: ProcessRef) -> io::Result<()> {
    match shim.open()? {
        Some(pidfd) => pidfd.exited().await,
        None => Ok(()),
    }
}

/// Sees a container's shims to their end: those whose processes have ended may take a moment for the last of their
/// outputs.
pub(crate) async fn see_off(dir: &Path) -> io::Result<()> {
    end_all(dir, LAST_WORDS).await
}

/// Ends a container's shims: of themselves within this time, or by force.
pub(super) async fn end_all(dir: &Path, patience: Duration) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut shims = Vec::new();
    for entry in entries {
        if let Some(name) = entry?.file_name().to_str()
            && name.ends_with(SUFFIX)
        {
            shims.extend(read(dir, name));
        }
    }
    end(shims, patience).await
}

/// Ends shims: of themselves within this time, or by force.
pub(crate) async fn end(shims: Vec<ProcessRef>, patience: Duration) -> io::Result<()> {
    let ends = shims.into_iter().map(|shim| async move {
        let Some(pidfd) = shim.open()? else { return Ok(()) };
        if tokio::time::timeout(patience, pidfd.exited()).await.is_ok() {
            return Ok(());
        }
        pidfd.signal(Signal::KILL)?;
        pidfd.exited().await
    });
    join_all(ends).await.into_iter().collect()
}

/// Removes what leads to a shim.
fn forget(dir: &Path, exec: &ExecId) {
    remove(&dir.join(socket_name(exec)));
    remove(&dir.join(format!("{exec}{SUFFIX}")));
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // It goes with its directory.
        Err(error) => tracing::debug!(%error, path = %path.display(), "cannot remove"),
    }
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Cause::Path { what, path: path.to_owned(), source }.into()
}
