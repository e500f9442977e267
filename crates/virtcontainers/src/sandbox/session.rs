//! One verb at work on one sandbox: the lease, the record as it is now, and connections that are made when needed.
//!
//! The record is read anew under each lease, because another process may have changed it. The connections outlive a
//! session in the handle, and are dropped when the record names another machine.

use std::{sync::Arc, time::Duration};

use tokio::sync::OwnedMutexGuard;
use virtcontainers_agent_client::{Agent, AgentError, AgentErrorKind, proxy::Proxy};
use virtcontainers_hypervisor::Vm;
use virtcontainers_store::{Lease, StoreError, StoreExt as _};
use virtcontainers_sys::process::Signal;
use virtcontainers_types::{ContainerId, SandboxId};

use super::{Resource, SandboxPhase, SandboxRecord, Shared, connect};
use crate::{
    container::{ContainerPhase, ContainerRecord, shim},
    error::{Cause, Error},
    runtime::{AtWork, Runtime},
};

/// How long a verb waits for another one that works on the same sandbox.
pub(super) const LEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a verb waits that is to act by force, before it does.
const PATIENCE: Duration = Duration::from_secs(2);

/// What this process holds of one sandbox, for whoever has its lease. The way to the agent is not here: it takes no
/// lease to use it.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(super) vm: Option<Arc<dyn Vm>>,
    pub(super) proxy: Option<Proxy>,
}

/// The exclusive right to work on a sandbox, with what is needed for it.
pub(crate) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) live: OwnedMutexGuard<Live>,
    pub(super) lease: Lease,
    /// The record; the phase is what the host shows.
    pub(crate) record: SandboxRecord,
    /// The agent, once this session has used it.
    agent: Option<Arc<dyn Agent>>,
    _at_work: AtWork,
}

impl Session {
    /// Waits for the sandbox to be free, and reads its record.
    pub(crate) async fn open(shared: &Arc<Shared>) -> Result<Self, Error> {
        Self::open_with(shared, LEASE_TIMEOUT).await
    }

    /// As [`Session::open`], but not at the mercy of the verb that has the sandbox: after a short wait the virtual
    /// machine is killed under it, which ends every call that it waits for.
    pub(super) async fn open_by_force(shared: &Arc<Shared>) -> Result<Self, Error> {
        match Self::open_with(shared, PATIENCE).await {
            Err(error) if matches!(error.cause(), Cause::Store(StoreError::Busy { .. })) => {
                let record: SandboxRecord = shared.runtime().store().load_as(shared.id())?;
                if let Some(vmm) = record.resources.iter().find_map(Resource::vmm) {
                    tracing::warn!(id = %shared.id(), pid = vmm.pid, "killing the VMM under a verb that is at work");
                    let failed = |source| Cause::Host { what: "kill the virtual machine's process", source };
                    vmm.kill(Signal::KILL).map_err(failed)?;
                }
                Self::open(shared).await
            }
            opened => opened,
        }
    }

    /// As [`Session::open`], without any wait for who has the sandbox.
    pub(super) async fn open_idle(shared: &Arc<Shared>) -> Result<Self, Error> {
        Self::open_with(shared, Duration::ZERO).await
    }

    async fn open_with(shared: &Arc<Shared>, patience: Duration) -> Result<Self, Error> {
        let _at_work = shared.runtime().at_work();
        let (live, lease) = Self::seize(shared, patience).await?;
        shared.cut_logs();
        let mut record: SandboxRecord = shared.runtime().store().load_as(shared.id())?;
        record.phase = record.observed();
        let mut session = Self { shared: Arc::clone(shared), live, lease, record, agent: None, _at_work };
        session.forget_strangers();
        Ok(session)
    }

    /// The two locks alone, for those who can do without a readable record. The lease first, here as in a create:
    /// then whoever has it finds the connections free, or about to be.
    pub(super) async fn seize(
        shared: &Arc<Shared>,
        patience: Duration,
    ) -> Result<(OwnedMutexGuard<Live>, Lease), Error> {
        let lease = shared.runtime().store().lease_async(shared.id(), patience).await?;
        let locked = tokio::time::timeout(patience, Arc::clone(&shared.live).lock_owned()).await;
        let live = locked.map_err(|_elapsed| StoreError::Busy {
            id: shared.id().clone(),
            holder: Some(std::process::id()),
            waited: patience,
        })?;
        Ok((live, lease))
    }

    /// Drops connections to a machine that is no longer the sandbox's.
    fn forget_strangers(&mut self) {
        let machine = self.record.phase.machine();
        if self.live.vm.as_ref().is_some_and(|vm| machine.is_none_or(|machine| vm.record() != machine.vm)) {
            self.live.vm = None;
        }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.shared.runtime()
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn id(&self) -> &SandboxId {
        self.shared.id()
    }

    pub(crate) const fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn save(&self) -> Result<(), Error> {
        Ok(self.runtime().store().save_as(&self.lease, &self.record)?)
    }

    /// A container's record; its phase is what the sandbox's leaves possible.
    pub(crate) fn container(&self, id: &ContainerId) -> Result<ContainerRecord, Error> {
        let mut record: ContainerRecord = self.runtime().store().load_container_as(self.id(), id)?;
        record.observe(&shim::dir(self.runtime(), self.id(), id), &self.record.phase);
        Ok(record)
    }

    pub(crate) fn save_container(&self, record: &ContainerRecord) -> Result<(), Error> {
        Ok(self.runtime().store().save_container_as(&self.lease, &record.id, record)?)
    }

    /// As [`Session::save_container`], for what need not outlive the kernel.
    pub(crate) fn note_container(&self, record: &ContainerRecord) -> Result<(), Error> {
        Ok(self.runtime().store().note_container_as(&self.lease, &record.id, record)?)
    }

    /// The virtual machine, reattached to if need be.
    pub(crate) async fn vm(&mut self) -> Result<Arc<dyn Vm>, Error> {
        if let Some(vm) = &self.live.vm {
            return Ok(Arc::clone(vm));
        }
        let hypervisor = self.runtime().hypervisor(self.record.config.hypervisor_type)?;
        let vm: Arc<dyn Vm> = hypervisor.reattach(&self.record.machine()?.vm).await?.into();
        self.keep_vm(Arc::clone(&vm));
        Ok(vm)
    }

    pub(super) fn keep_vm(&mut self, vm: Arc<dyn Vm>) {
        self.shared.watch(vm.as_ref());
        self.live.vm = Some(vm);
    }

    /// The agent, dialled if need be.
    pub(crate) async fn agent(&mut self) -> Result<Arc<dyn Agent>, Error> {
        if let Some(agent) = self.connected() {
            return Ok(agent);
        }
        let agent = connect::redial(self).await?;
        self.shared.keep_agent(&self.record, &agent);
        self.agent = Some(Arc::clone(&agent));
        Ok(agent)
    }

    /// The agent, where it is connected already.
    pub(super) fn connected(&self) -> Option<Arc<dyn Agent>> {
        self.agent.clone().or_else(|| self.shared.kept_agent(&self.record))
    }

    /// Turns an agent's answer into the library's. A connection that broke is not kept, and a guest that died is what
    /// the error speaks of.
    pub(crate) fn told<T>(&mut self, answer: Result<T, AgentError>) -> Result<T, Error> {
        answer.map_err(|error| {
            if is_spoiled(&error) {
                self.agent = None;
                self.shared.drop_agent();
            }
            connect::explain(&self.shared, &self.record, error)
        })
    }

    /// Every container's record, for verbs that concern them all, or why it cannot be read.
    pub(crate) fn containers(&self) -> Result<Vec<Result<ContainerRecord, StoreError>>, Error> {
        let listed = self.runtime().store().list_containers_as::<ContainerRecord>(self.id())?;
        let seen = |mut record: ContainerRecord| {
            record.observe(&shim::dir(self.runtime(), self.id(), &record.id), &self.record.phase);
            record
        };
        Ok(listed.into_iter().map(|entry| entry.record.map(seen)).collect())
    }

    /// Takes the session apart, for a transaction that keeps lease and record.
    pub(super) fn into_parts(self) -> (Arc<Shared>, OwnedMutexGuard<Live>, Lease, SandboxRecord) {
        (self.shared, self.live, self.lease, self.record)
    }
}

/// Whether a call failed so that its connection is of no use any more.
pub(super) fn is_spoiled(error: &AgentError) -> bool {
    matches!(error.kind(), AgentErrorKind::Disconnected | AgentErrorKind::Timeout)
}

impl ContainerPhase {
    /// The phase of a container whose sandbox is in `sandbox`: without a machine, nothing runs.
    pub(crate) fn within(&self, sandbox: &SandboxPhase) -> Self {
        match (self, sandbox) {
            (Self::Ready | Self::Running { .. } | Self::Paused { .. }, SandboxPhase::Stopped(_)) => {
                self.ended(None, None)
            }
            (
                Self::Creating
                | Self::Ready
                | Self::Running { .. }
                | Self::Paused { .. }
                | Self::Stopped { .. },
                SandboxPhase::Creating { .. }
                | SandboxPhase::Ready(_)
                | SandboxPhase::Running(_)
                | SandboxPhase::Paused(_)
                | SandboxPhase::Stopped(_),
            ) => self.clone(),
        }
    }
}
