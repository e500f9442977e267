//! Sandboxes: one file for each verb, around a record, its resources and one way of working with them.

mod admission;
mod annotations;
mod boot;
pub(crate) mod cgroups;
mod collect;
mod connect;
pub(crate) mod create;
mod delete;
mod guest;
mod helper;
mod interfaces;
pub(crate) mod list;
mod logs;
mod monitor;
mod netmon;
mod network;
mod pause;
mod record;
mod release;
mod resource;
mod routes;
mod session;
mod share;
mod start;
mod stats;
mod status;
mod stop;
mod sync;
mod visit;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::watch;
use virtcontainers_agent_client::{Agent, AgentError, AgentInfo};
use virtcontainers_hypervisor::{ConsoleTail, Vm, VmExit};
use virtcontainers_store::StoreExt as _;
use virtcontainers_sys::task::Task;
use virtcontainers_types::{ContainerId, SandboxId};

pub(crate) use admission::Todo;
pub(crate) use collect::{collect, collect_nameless};
pub(crate) use delete::end_and_forget;
pub use guest::GuestStream;
pub(crate) use helper::helper_program;
pub use monitor::{DEFAULT_MONITOR_CHECK_INTERVAL, Monitor};
pub(crate) use record::{Ending, Machine, SandboxPhase, SandboxRecord};
pub(crate) use release::Release;
pub(crate) use resource::{Resource, Role};
pub(crate) use session::{Live, Session};
pub(crate) use share::{server_of, share_container};
pub(crate) use status::status as status_of;
pub(crate) use stop::end_processes;
pub use sync::NetworkChanges;
pub(crate) use visit::Visit;

use crate::{
    config::ContainerConfig,
    container::{self, Container},
    drive::to_the_end,
    error::Error,
    runtime::Runtime,
    status::{SandboxStatus, StatusReason},
};

/// How many lines of the guest's console an error or a report shows.
pub(crate) const CONSOLE_LINES: usize = 20;

/// How something is stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopMode {
    /// SIGTERM, a bounded wait, SIGKILL.
    #[default]
    Graceful,
    /// At once.
    Force,
}

/// What may be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeleteMode {
    /// Only what does not run.
    #[default]
    IfStopped,
    /// Whatever it is; what runs is stopped by force, and a record that cannot be read does not stand in the way.
    Force,
}

/// A sandbox (the reference document's `VCSandbox`). Clones are the same sandbox, and share its connections.
///
/// A handle stays good whatever other processes do: each verb reads the record under the sandbox's lease. Dropping the
/// last handle ends nothing but the connections.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// The inside of all handles of one sandbox in this process.
pub(crate) struct Shared {
    runtime: Runtime,
    id: SandboxId,
    live: Arc<tokio::sync::Mutex<Live>>,
    watched: Mutex<Option<Watched>>,
    /// The connection to the agent that all verbs share.
    agent: Mutex<Option<Kept>>,
    monitor: Mutex<Weak<monitor::Watch>>,
    /// The machine whose agent did not answer when it was last asked how it is.
    silent: Mutex<Option<Machine>>,
}

/// A connection that is kept.
struct Kept {
    /// The machine in which the agent is.
    machine: Machine,
    agent: Arc<dyn Agent>,
    /// Breaks it when the machine has lost what it cannot do without.
    _tether: Option<Task<()>>,
}

/// What can be told of the virtual machine without waiting for whoever works with it.
#[derive(Debug, Clone)]
struct Watched {
    console: ConsoleTail,
    exited: watch::Receiver<Option<VmExit>>,
}

impl Shared {
    pub(crate) fn new(runtime: Runtime, id: SandboxId) -> Self {
        let (watched, agent, monitor, silent) = Default::default();
        Self { runtime, id, live: Arc::default(), watched, agent, monitor, silent }
    }

    /// The agent of this very machine, where this process is connected to it and connections are to be kept.
    pub(crate) fn kept_agent(&self, record: &SandboxRecord) -> Option<Arc<dyn Agent>> {
        let machine = record.phase.machine().filter(|_| record.config.agent_config.long_live_conn)?;
        let kept = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| kept.machine == *machine).map(|kept| Arc::clone(&kept.agent))
    }

    /// Keeps a connection for the verbs to come, where connections are to be kept.
    pub(crate) fn keep_agent(&self, record: &SandboxRecord, agent: &Arc<dyn Agent>) {
        if let Some(machine) = record.phase.machine().filter(|_| record.config.agent_config.long_live_conn) {
            let tether = helper::tether(record, agent);
            let kept = Kept { machine: machine.clone(), agent: Arc::clone(agent), _tether: tether };
            *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
    }

    /// Lets go of the connection. Whoever uses it at this moment is not disturbed.
    pub(crate) fn drop_agent(&self) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) const fn id(&self) -> &SandboxId {
        &self.id
    }

    pub(crate) const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn watch(&self, vm: &dyn Vm) {
        let watched = Watched { console: vm.console(), exited: vm.exited() };
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    fn watched(&self) -> Option<Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines of the guest's console that this process has seen.
    pub(crate) fn console(&self) -> Vec<String> {
        self.watched().map(|watched| watched.console.lines(CONSOLE_LINES)).unwrap_or_default()
    }
}

impl From<Arc<Shared>> for Sandbox {
    fn from(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Sandbox {
    /// The sandbox's id.
    #[must_use]
    pub fn id(&self) -> &SandboxId {
        &self.shared.id
    }

    /// The runtime that it belongs to.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The record as it is now.
    pub(crate) fn load(&self) -> Result<SandboxRecord, Error> {
        Ok(self.runtime().store().load_as(self.id())?)
    }

    /// Starts its containers, in the order of the configuration. Those that run already are left alone, so a start that
    /// failed half-way can be called again.
    ///
    /// # Errors
    /// At the first container that does not start; the sandbox is running only when all do.
    pub async fn start(&self) -> Result<(), Error> {
        to_the_end(self.runtime(), "start sandbox", start::start(Arc::clone(&self.shared))).await
    }

    /// Stops it. When this returns, the virtual machine's process and every helper are gone. A sandbox whose machine has
    /// died is cleaned up all the same.
    ///
    /// # Errors
    /// What could not be released; call it again, or delete the sandbox.
    pub async fn stop(&self, mode: StopMode) -> Result<(), Error> {
        to_the_end(self.runtime(), "stop sandbox", stop::stop(Arc::clone(&self.shared), mode)).await
    }

    /// Halts its processors: nothing in it runs until it is resumed.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pause(&self) -> Result<(), Error> {
        to_the_end(self.runtime(), "pause sandbox", pause::pause(Arc::clone(&self.shared))).await
    }

    /// Lets its processors go on.
    ///
    /// # Errors
    /// When it was not paused.
    pub async fn resume(&self) -> Result<(), Error> {
        to_the_end(self.runtime(), "resume sandbox", pause::resume(Arc::clone(&self.shared))).await
    }

    /// Deletes it: all that it holds on the host is released, past errors, and its id is free again.
    ///
    /// # Errors
    /// When it runs and the mode is [`DeleteMode::IfStopped`]; when something could not be released, in which case it
    /// is still there and can be deleted again.
    pub async fn delete(&self, mode: DeleteMode) -> Result<(), Error> {
        to_the_end(self.runtime(), "delete sandbox", delete::delete(Arc::clone(&self.shared), mode)).await
    }

    /// Its status. Never waits for another verb, and never asks the guest: that its agent does not answer is told where a
    /// [`Monitor`] of this process or [`Sandbox::probe`] has found it.
    ///
    /// # Errors
    /// When it does not exist or its record cannot be read.
    pub async fn status(&self) -> Result<SandboxStatus, Error> {
        let record = self.load()?;
        let silent = self.shared.is_silent(&record);
        let mut status = status::whole(self.runtime(), record)?;
        status.reason = status.reason.or(silent.then_some(StatusReason::AgentSilent));
        Ok(status)
    }

    /// Creates a container in it; its command does not run yet. All or nothing.
    ///
    /// # Errors
    /// An invalid configuration with all its violations; an id that is taken; a sandbox that does not run.
    pub async fn create_container(&self, config: ContainerConfig) -> Result<Container, Error> {
        container::create::create(Arc::clone(&self.shared), config).await
    }

    /// The handle of a container, whether it exists or not: its verbs will tell.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> Container {
        Container::new(self.clone(), id.clone())
    }

    /// The ids of its containers.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn containers(&self) -> Result<Vec<ContainerId>, Error> {
        let listed = self.runtime().store().list_containers(self.id())?;
        Ok(listed.into_iter().filter_map(|entry| ContainerId::new(entry.name).ok()).collect())
    }

    /// What its agent says of itself.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn agent_info(&self) -> Result<AgentInfo, Error> {
        let visit = Visit::guest(&self.shared, "ask the agent of").await?;
        let told = visit.agent().await?.info().await;
        visit.told(told)
    }

    /// Lets go of what this process holds of it: the connections to its machine and its agent are closed, and its
    /// monitor ends without an error. Nothing of the sandbox ends, and the handle stays good (the reference document's
    /// `Release`). A proxy that is built into this process goes too, and is put back by whoever needs it next.
    ///
    /// # Errors
    /// None at present.
    pub async fn release(&self) -> Result<(), Error> {
        self.shared.end_monitor();
        self.shared.drop_agent();
        *self.shared.live.lock().await = Live::default();
        Ok(())
    }

    /// The last lines of the guest's console, as far as this process has seen it.
    #[must_use]
    pub fn console(&self) -> Vec<String> {
        self.shared.console()
    }

    /// Resolves when its virtual machine has ended.
    ///
    /// # Errors
    /// When the sandbox does not exist or its machine cannot be watched.
    pub async fn wait_exit(&self) -> Result<(), Error> {
        match self.load()?.phase.machine() {
            Some(machine) => connect::gone(&self.shared, machine).await,
            None => Ok(()),
        }
    }

    /// Waits for something in the guest, but not longer than the guest lives.
    pub(crate) async fn watching<T>(
        &self,
        asked: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, Error> {
        connect::while_alive(&self.shared, asked).await
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("id", self.id()).finish_non_exhaustive()
    }
}
