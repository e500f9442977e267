//! Stop: the containers end, then the guest, then what served it. The host's side ends whatever the guest does.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::{sync::OwnedMutexGuard, time::timeout};
use virtcontainers_agent_client::{Agent, AgentError, AgentErrorKind};
use virtcontainers_hypervisor::Shutdown;
use virtcontainers_store::{Lease, Ledger, StoreError, StoreExt as _, Transaction};
use virtcontainers_types::{ContainerId, ContainerState, ExecId, SandboxState};

use super::{Ending, Live, Release, Resource, SandboxPhase, SandboxRecord, Session, Shared, StopMode, Todo};
use crate::{
    container::{create::pass, shim},
    error::{Cause, Error, chain},
    runtime::Runtime,
    signal::Signal,
    state::SandboxOperation,
    time::Timestamp,
};

/// How long the containers of a graceful stop may take to end by themselves.
const GRACE: Duration = Duration::from_secs(10);
/// How long the agent may take to take leave, when the stop is graceful.
const FAREWELL: Duration = Duration::from_secs(5);
/// The same when it is forced: enough for an agent in good health to write back what it holds.
const SHORT_FAREWELL: Duration = Duration::from_millis(250);
/// How long the guest may take to power off after that.
const POWER_OFF: Duration = Duration::from_secs(3);

pub(super) async fn stop(shared: Arc<Shared>, mode: StopMode) -> Result<(), Error> {
    let session = match mode {
        StopMode::Graceful => Session::open(&shared).await?,
        StopMode::Force => Session::open_by_force(&shared).await?,
    };
    if session.record.admit(SandboxOperation::Stop, "stop")? == Todo::Nothing
        && session.record.resources.iter().all(Resource::outlives_machine)
    {
        return Ok(());
    }
    end(session, mode, Afterwards::Kept).await.map(drop)
}

/// What becomes of a sandbox that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Kept,
    Forgotten,
}

/// Ends what there is of a sandbox, and records it. Gives back the lease for who wants to go on.
pub(super) async fn end(
    mut session: Session,
    mode: StopMode,
    afterwards: Afterwards,
) -> Result<Lease, Error> {
    let ending = match &session.record.phase {
        SandboxPhase::Creating { .. } => Ending::NeverBorn,
        SandboxPhase::Stopped(ending) => *ending,
        SandboxPhase::Ready(_) | SandboxPhase::Running(_) | SandboxPhase::Paused(_) => Ending::Asked,
    };
    // What does not work inside does not keep the outside from being ended.
    match mode {
        StopMode::Graceful => say_farewell(&mut session).await,
        StopMode::Force => cut_short(&mut session).await,
    }
    release(session, ending, afterwards).await
}

/// Asks containers, agent and guest to end, each for a bounded time.
async fn say_farewell(session: &mut Session) {
    match session.record.phase.state() {
        SandboxState::Ready | SandboxState::Running => {}
        SandboxState::Paused => {
            // Nothing in a paused guest can end by itself.
            match session.vm().await {
                Ok(vm) => {
                    drop(vm.resume().await.inspect_err(|error| tracing::debug!(%error, "cannot resume")))
                }
                Err(error) => tracing::debug!(%error, "cannot reach the machine"),
            }
        }
        SandboxState::Creating | SandboxState::Stopped => return,
    }
    let agent = match timeout(FAREWELL, session.agent()).await {
        Ok(Ok(agent)) => agent,
        Ok(Err(error)) => return tracing::debug!(%error, "cannot reach the agent"),
        Err(_elapsed) => return tracing::debug!("the agent cannot be reached in time"),
    };
    end_containers(session, agent.as_ref()).await;
    let faults = session.runtime().faults();
    let farewell = pass(&faults, "take leave of guest", agent.destroy_sandbox());
    if !matches!(timeout(FAREWELL, farewell).await, Ok(Ok(()))) {
        tracing::debug!("the agent did not take leave");
    }
    if let Ok(vm) = session.vm().await
        && let Err(error) = vm.shutdown(Shutdown::Graceful(POWER_OFF)).await
    {
        tracing::debug!(%error, "the guest did not power off");
    }
}

/// All at once: SIGTERM, a bounded wait, SIGKILL.
async fn end_containers(session: &Session, agent: &dyn Agent) {
    let Ok(records) = session.containers() else { return };
    // What cannot be read is left to status to tell.
    let readable = records.into_iter().filter_map(Result::ok);
    let running = readable.filter(|record| record.phase.state() == ContainerState::Running);
    let ends = running.map(|mut record| async move {
        let ended = end_processes(agent, &record.id, GRACE).await;
        let code =
            ended.inspect_err(|error| tracing::debug!(%error, "a container does not end")).ok().flatten();
        if let Err(error) = shim::see_off(&shim::dir(session.runtime(), session.id(), &record.id)).await {
            tracing::debug!(%error, "a shim does not end");
        }
        record.phase = record.phase.ended(code, Some(Timestamp::now()));
        record
    });
    for record in join_all(ends).await {
        if let Err(error) = session.save_container(&record) {
            tracing::warn!(container = %record.id, %error, "cannot record the end of a container");
        }
    }
}

/// Ends a container's command; its exit code, if it ended in time to be seen.
///
/// # Errors
/// When the agent does not answer.
pub(crate) async fn end_processes(
    agent: &dyn Agent,
    id: &ContainerId,
    grace: Duration,
) -> Result<Option<i32>, AgentError> {
    /// How long the command may take to be gone after SIGKILL.
    const KILLED: Duration = Duration::from_secs(5);
    let first = ExecId::from(id);
    let mut ended = std::pin::pin!(agent.wait_process(id, &first));
    if !grace.is_zero() && !is_over(agent.signal_process(id, Some(&first), Signal::TERM.number()).await)? {
        match timeout(grace, &mut ended).await {
            Ok(code) => return code.map(Some),
            Err(_elapsed) => {
                tracing::debug!(container = %id, ?grace, "did not end after SIGTERM, killing it")
            }
        }
    }
    is_over(agent.signal_process(id, None, Signal::KILL.number()).await)?;
    match timeout(KILLED, &mut ended).await {
        Ok(Ok(code)) => Ok(Some(code)),
        Ok(Err(error)) if error.kind() == AgentErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(AgentError::Timeout { method: "WaitProcess", after: KILLED }),
    }
}

/// Whether a process had ended before it was signalled.
fn is_over(signalled: Result<(), AgentError>) -> Result<bool, AgentError> {
    let Err(error) = signalled else { return Ok(false) };
    let over = matches!(error.kind(), AgentErrorKind::NotFound | AgentErrorKind::FailedPrecondition);
    if over { Ok(true) } else { Err(error) }
}

/// Lets an agent that is connected already write back what it holds; nobody is dialled for it.
async fn cut_short(session: &mut Session) {
    if matches!(session.record.phase.state(), SandboxState::Ready | SandboxState::Running)
        && let Some(agent) = session.connected()
    {
        timeout(SHORT_FAREWELL, agent.destroy_sandbox()).await.ok(); // it is ended now, in any case
    }
}

/// Releases everything that the record names, past errors, and records what remains.
async fn release(session: Session, ending: Ending, afterwards: Afterwards) -> Result<Lease, Error> {
    let runtime = session.runtime().clone();
    let (shared, mut live, lease, mut record) = session.into_parts();
    let release = Release::new(&runtime, shared.id(), record.config.hypervisor_type);
    if let Some(vm) = live.vm.take() {
        release.vm.set(vm).ok(); // made just now, so the place is empty
    }
    *live = Live::default();
    shared.drop_agent();
    let held = std::mem::take(&mut record.resources);
    if held.is_empty()
        && afterwards == Afterwards::Forgotten
        && matches!(record.phase, SandboxPhase::Stopped(_))
    {
        return Ok(lease);
    }
    release.strike(&held);
    let end = End { runtime: runtime.clone(), lease, record, ending, afterwards, _live: live };
    let mut transaction = Transaction::adopt(end, Arc::new(release) as _, held).with_faults(runtime.faults());
    let failures = match afterwards {
        Afterwards::Kept => transaction.release_where(|resource| !resource.outlives_machine()).await,
        Afterwards::Forgotten => transaction.unwind().await,
    };
    let (end, _held) = transaction.commit();
    if failures.is_empty() {
        return Ok(end.lease);
    }
    let (id, left) = (shared.id().clone(), failures.len());
    Err(Error::from(Cause::NotReleased { id, left }).with_undo(failures.iter().map(|error| chain(error))))
}

/// The record of a sandbox that ends.
struct End {
    runtime: Runtime,
    lease: Lease,
    record: SandboxRecord,
    ending: Ending,
    afterwards: Afterwards,
    /// Held to the end, so that no other verb of this process connects meanwhile.
    _live: OwnedMutexGuard<Live>,
}

impl Ledger<Resource> for End {
    fn record(&mut self, held: &[Resource]) -> Result<(), StoreError> {
        self.record.resources = held.to_vec();
        let machine_left = held.iter().any(|resource| matches!(resource, Resource::Machine { .. }));
        if !machine_left {
            self.record.phase = SandboxPhase::Stopped(self.ending);
        }
        match self.afterwards {
            Afterwards::Kept => self.runtime.store().save_as(&self.lease, &self.record),
            Afterwards::Forgotten => self.runtime.store().note_as(&self.lease, &self.record),
        }
    }
}
