//! Giving resources back: the one function for undoing, stopping, deleting and cleaning up after a crash.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use virtcontainers_agent_client::{Agent, AgentErrorKind};
use virtcontainers_device::{DaemonRecord, DaemonRole, Share};
use virtcontainers_hypervisor::{Shutdown, Vm, VmError, VmRecord};
use virtcontainers_network::NetNs;
use virtcontainers_store::{ReleaseError, Releaser};
use virtcontainers_sys::process::{ProcessRef, Signal};
use virtcontainers_types::{HypervisorKind, SandboxId};

use super::{
    network,
    resource::{Resource, Role},
};
use crate::{
    config::CniConfig,
    container::shim,
    error::{Cause, Error},
    runtime::Runtime,
};

/// How long a killed process may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(5);
/// How long the shims of a machine that is gone may take to end.
const SHIM_TIME: Duration = Duration::from_millis(500);

/// Releases what one sandbox holds. Connections that are there help, and nothing depends on them.
pub(crate) struct Release {
    runtime: Runtime,
    id: SandboxId,
    hypervisor: HypervisorKind,
    /// The machine, where this process has it.
    pub(super) vm: OnceLock<Arc<dyn Vm>>,
    /// The agent, where containers are to be removed from a guest that stays.
    pub(super) agent: OnceLock<Arc<dyn Agent>>,
    /// The machine, where interfaces are to be unplugged from one that stays.
    pub(super) staying: OnceLock<Arc<dyn Vm>>,
    /// Whether the virtio-fs daemon is one process, with nobody of its own to outlive it.
    alone: AtomicBool,
}

impl Release {
    pub(crate) fn new(runtime: &Runtime, id: &SandboxId, hypervisor: HypervisorKind) -> Self {
        let (vm, agent, staying) = Default::default();
        let alone = AtomicBool::new(false);
        Self { runtime: runtime.clone(), id: id.clone(), hypervisor, vm, agent, staying, alone }
    }

    pub(crate) fn with_agent(self, agent: Arc<dyn Agent>) -> Self {
        // Made just now, so the place is empty.
        self.agent.set(agent).ok();
        self
    }

    /// For interfaces of a machine that stays.
    pub(super) fn with_machine(self, vm: Arc<dyn Vm>) -> Self {
        // Made just now, so the place is empty.
        self.staying.set(vm).ok();
        self
    }

    /// Kills the machine and its daemons at once, so that each ends while the others are waited for. None of them has
    /// anything to write back: what a guest has written is the host's since.
    pub(super) fn strike(&self, held: &[Resource]) {
        let machine = held.iter().filter_map(|resource| Some((Role::Vmm, resource.vmm()?)));
        let daemons = held.iter().filter_map(Resource::daemon).filter(|(role, _)| *role != Role::Shim);
        for (role, process) in machine.chain(daemons) {
            if role == Role::Virtiofsd {
                self.alone.store(process.leads_namespace(), Ordering::Relaxed);
            }
            if let Err(error) = process.kill(Signal::KILL) {
                tracing::debug!(role = role.as_str(), pid = process.pid, %error, "cannot kill");
            }
        }
    }

    fn share(&self) -> Share {
        Share::new(&self.runtime.sandbox_dir(&self.id))
    }

    async fn end_machine(&self, record: Option<&VmRecord>) -> Result<(), ReleaseError> {
        if let Some(vm) = self.vm.get() {
            vm.shutdown(Shutdown::Kill).await?;
            return Ok(());
        }
        match record {
            // A machine without a process can be ended by its driver only.
            Some(record) if record.process.is_none() => {
                match self.runtime.hypervisor(self.hypervisor)?.reattach(record).await {
                    Ok(vm) => vm.shutdown(Shutdown::Kill).await.map(drop)?,
                    Err(VmError::Gone { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                Ok(())
            }
            Some(record) => Ok(self.end_process(record.process, Role::Vmm).await?),
            None => Ok(self.end_process(None, Role::Vmm).await?),
        }
    }

    /// Ends a process that is known, or those that carry the mark.
    async fn end_process(&self, process: Option<ProcessRef>, role: Role) -> Result<(), ReleaseError> {
        let mark = role.mark(self.runtime.root(), &self.id);
        match (process, role) {
            (_, Role::Shim) => {
                // They are many, and end by themselves when the machine has.
                let shims = mark.find()?;
                Ok(shim::end(shims, SHIM_TIME).await?)
            }
            (None, _) => Ok(virtcontainers_device::stop_marked(&mark, Duration::ZERO).await?),
            (Some(process), Role::Vmm | Role::Netmon) => Ok(kill(process).await?),
            (Some(process), Role::Proxy) => {
                kill(process).await?;
                // Another may have been started in its place, and not been recorded.
                Ok(virtcontainers_device::stop_marked(&mark, Duration::ZERO).await?)
            }
            (Some(process), Role::VsockDaemon) => {
                let daemon = DaemonRecord { role: DaemonRole::VhostVsock, process };
                Ok(virtcontainers_device::stop(&daemon, Duration::ZERO).await?)
            }
            (Some(process), Role::Virtiofsd) => {
                let daemon = DaemonRecord { role: DaemonRole::Virtiofsd, process };
                let alone = self.alone.load(Ordering::Relaxed) || process.leads_namespace();
                virtcontainers_device::stop(&daemon, Duration::ZERO).await?;
                if alone {
                    return Ok(());
                }
                // It works in a child, which may outlive it for a moment.
                Ok(virtcontainers_device::stop_marked(&mark, Duration::ZERO).await?)
            }
        }
    }

    /// Has the plugins undo what they did; they are found by what was noted when they were called.
    async fn leave_cni(&self, config: &CniConfig, netns: &Path) -> Result<(), ReleaseError> {
        let dir = self.runtime.sandbox_dir(&self.id);
        let (cni, attachment) = network::cni(&self.id, &dir, config, netns);
        Ok(cni.del(&config.network, &attachment).await?)
    }

    /// Takes a container out of the guest, if the guest stays and knows it.
    async fn remove_from_guest(&self, id: &virtcontainers_types::ContainerId) -> Result<(), ReleaseError> {
        let Some(agent) = self.agent.get() else { return Ok(()) };
        match agent.remove_container(id, None).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // A guest that is gone has no containers.
                use AgentErrorKind as Kind;
                let absent = matches!(
                    error.kind(),
                    Kind::NotFound | Kind::Disconnected | Kind::Transport | Kind::NotReady
                );
                if absent { Ok(()) } else { Err(error.into()) }
            }
        }
    }
}

#[async_trait]
impl Releaser<Resource> for Release {
    async fn release(&self, resource: &Resource) -> Result<(), ReleaseError> {
        match resource {
            Resource::Cgroups(cgroups) => {
                let name = virtcontainers_sys::cgroup::name(self.runtime.root(), &self.id);
                Ok(cgroups.remove(&name).await?)
            }
            Resource::Netns { path, owned: true } => Ok(NetNs::remove(path)?),
            Resource::Netns { owned: false, .. } => Ok(()),
            Resource::Cni { config, netns } => self.leave_cni(config, netns).await,
            Resource::Endpoint(card) => card.release(self.staying.get().map(AsRef::as_ref)).await,
            Resource::Share => Ok(self.share().remove()?),
            Resource::Container { id } => {
                self.remove_from_guest(id).await?;
                Ok(self.share().remove_container(id)?)
            }
            Resource::Daemon { role, process } => Ok(self.end_process(*process, *role).await?),
            Resource::Machine { vm } => self.end_machine(vm.as_ref()).await,
        }
    }
}

/// Kills a process and waits until it is gone.
async fn kill(process: ProcessRef) -> io::Result<()> {
    let Some(pidfd) = process.open()? else { return Ok(()) };
    pidfd.signal(Signal::KILL)?;
    match tokio::time::timeout(KILL_TIME, pidfd.exited()).await {
        Ok(exited) => exited,
        Err(_elapsed) => {
            let message = format!("process {} survived SIGKILL for {KILL_TIME:?}", process.pid);
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        }
    }
}

/// Releases whatever can be found of a sandbox whose record cannot be read: marked processes and mounts.
pub(super) async fn salvage(runtime: &Runtime, id: &SandboxId) -> Result<(), Error> {
    end_marked(runtime, id).await?;
    for group in cgroups_of(runtime, id)? {
        let failed = |source| Cause::Cgroup { path: group.clone(), source };
        virtcontainers_sys::cgroup::remove(&group).await.map_err(failed)?;
    }
    let dir = runtime.sandbox_dir(id);
    NetNs::remove(&network::own_netns(&dir))?;
    Ok(Share::new(&dir).remove()?)
}

/// The control groups that bear the sandbox's name.
fn cgroups_of(runtime: &Runtime, id: &SandboxId) -> Result<Vec<PathBuf>, Error> {
    let found = virtcontainers_sys::cgroup::find_under(runtime.root());
    let found = found.map_err(|source| Cause::Host { what: "search for control groups", source })?;
    Ok(found.into_iter().filter(|group| group.sandbox == *id).map(|group| group.dir).collect())
}

/// Ends every process that carries the sandbox's mark.
pub(super) async fn end_marked(runtime: &Runtime, id: &SandboxId) -> Result<(), Error> {
    for role in Role::ALL {
        virtcontainers_device::stop_marked(&role.mark(runtime.root(), id), Duration::ZERO).await?;
    }
    Ok(())
}
