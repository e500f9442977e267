//! The way to the agent: the first handshake of a guest that boots, later dialling, and what to say when the guest dies.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;
use virtcontainers_agent_client::{
    Agent, AgentConnector, AgentError, AgentErrorKind,
    announce::Announcement,
    connector::{Backoff, dial_until_ready},
    proxy::{self, ProxyOptions},
};
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_hypervisor::{Vm, VmError, VmExit};
use virtcontainers_types::{ProxyKind, Transport};

use super::{
    Machine, Resource, SandboxRecord, Session, Shared,
    helper::{self, Helper},
    resource::Role,
};
use crate::error::{Cause, Error};

/// How long a guest that has hung up may take until its VMM is gone too.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// How a guest is known to be ready to be dialled.
pub(super) enum Readiness {
    /// It always is: there is no guest behind the agent.
    Always,
    /// It connects to the host.
    Announced(Announcement),
    /// It opens its virtio-serial port.
    PortOpen(watch::Receiver<bool>),
    /// It does not tell, and has to be dialled again and again.
    Dialled,
}

impl Readiness {
    /// Waits until the agent may be dialled.
    async fn come(&mut self) -> Result<(), AgentError> {
        match self {
            Self::Always | Self::Dialled => Ok(()),
            Self::Announced(announcement) => announcement.heard().await,
            Self::PortOpen(open) => {
                let opened = open.wait_for(|open| *open).await.is_ok();
                if !opened {
                    // The machine is being dropped; whoever watches its exit has the better answer.
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        }
    }
}

/// Waits for a guest that boots, and dials its agent. Bounded in time, and ended by the guest's death.
pub(super) async fn handshake(
    supports: &mut Supports<'_>,
    mut readiness: Readiness,
    connector: &dyn AgentConnector,
    address: &AgentAddress,
    within: Duration,
) -> Result<Arc<dyn Agent>, Error> {
    let (id, vm) = (supports.shared.id().clone(), supports.vm);
    let greet = async {
        let greeting = async {
            readiness.come().await?;
            match readiness {
                Readiness::Dialled => {
                    let backoff = Backoff { total: within, ..Backoff::default() };
                    dial_until_ready(connector, address, backoff).await
                }
                Readiness::Always | Readiness::Announced(_) | Readiness::PortOpen(_) => {
                    connector.connect(address).await
                }
            }
        };
        match tokio::time::timeout(within, greeting).await {
            Ok(greeted) => Ok(greeted?),
            Err(_elapsed) => Err(Error::from(Cause::BootTimeout { id, after: within })),
        }
    };
    let greeted = supports.carry(greet, "before its agent answered").await;
    greeted.map_err(|error| error.with_console(vm.console().lines(super::CONSOLE_LINES)))
}

/// Launches a VMM among its helpers. One that fails meanwhile ends the launch and is what the error speaks of: a VMM that
/// loses it only says that a socket broke. One that ends well may just have followed its VMM.
pub(super) async fn launch_among<T>(
    shared: &Shared,
    helpers: &mut [Helper],
    launch: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let when = "while the virtual machine was started";
    let mut launch = std::pin::pin!(launch);
    let mut lost = std::pin::pin!(helper::first_end(helpers));
    tokio::select! {
        biased;
        helper = &mut lost => {
            if !helper.failed && let Ok(launched) = tokio::time::timeout(LAST_BREATH, launch).await {
                return launched;
            }
            Err(helper.into_error(shared, when))
        }
        launched = &mut launch => match launched {
            Err(error) if is_sudden_end(&error) => {
                // The helper's end may be seen a moment after that of the VMM, which it caused.
                match tokio::time::timeout(LAST_BREATH, lost).await {
                    Ok(helper) if helper.failed => Err(helper.into_error(shared, when)),
                    Ok(_) | Err(_) => Err(error),
                }
            }
            launched => launched,
        },
    }
}

/// Why containers' files did not reach the guest, when the process that serves them ended meanwhile: its own end, rather
/// than what came of it.
pub(super) async fn server_gone(shared: &Shared, helpers: &mut [Helper]) -> Error {
    let when = "while containers' files were shared";
    match tokio::time::timeout(LAST_BREATH, helper::first_end(helpers)).await {
        Ok(helper) => helper.into_error(shared, when),
        Err(_elapsed) => guest_gone(shared, when),
    }
}

/// Whether a VMM ended under its launch.
fn is_sudden_end(error: &Error) -> bool {
    matches!(error.cause(), Cause::Vm(VmError::ExitedEarly { .. } | VmError::Control { .. }))
}

/// What a sandbox that comes to be stands on.
pub(super) struct Supports<'a> {
    pub(super) shared: &'a Shared,
    pub(super) vm: &'a dyn Vm,
    pub(super) helpers: Vec<Helper>,
}

impl Supports<'_> {
    /// Does something that needs them all; the first that ends meanwhile ends it, and is what the error speaks of.
    pub(super) async fn carry<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
        when: &'static str,
    ) -> Result<T, Error> {
        let mut lost = std::pin::pin!(self.lost(when));
        tokio::select! {
            biased;
            error = &mut lost => Err(error),
            done = work => match done {
                // A connection breaks a moment before its other end is seen to be dead.
                Err(error) if is_broken(&error) => {
                    Err(tokio::time::timeout(2 * LAST_BREATH, lost).await.unwrap_or(error))
                }
                done => done,
            },
        }
    }

    /// Resolves when the first has ended.
    async fn lost(&mut self, when: &'static str) -> Error {
        let mut exited = self.vm.exited();
        let id = self.shared.id();
        let gone = |exit: Option<VmExit>| {
            let how = exit.map_or_else(|| "nobody saw how".to_owned(), |exit| exit.to_string());
            Error::from(Cause::GuestGone { id: id.clone(), how, when })
        };
        let helper = tokio::select! {
            biased;
            exit = ended(&mut exited) => return gone(exit),
            helper = helper::first_end(&mut self.helpers) => helper,
        };
        // A VMM that ends takes its helpers along, and may be seen to end after them.
        if !helper.by_signal
            && let Ok(exit) = tokio::time::timeout(LAST_BREATH, ended(&mut exited)).await
        {
            return gone(exit);
        }
        helper.into_error(self.shared, when)
    }
}

/// Whether an error is of a connection rather than of what was asked for.
fn is_broken(error: &Error) -> bool {
    matches!(error.cause(), Cause::Agent(error) if breaks(error))
}

fn breaks(error: &AgentError) -> bool {
    matches!(
        error.kind(),
        AgentErrorKind::Disconnected
            | AgentErrorKind::Timeout
            | AgentErrorKind::Transport
            | AgentErrorKind::NotReady
    )
}

/// Resolves when the machine has ended; with its exit, where that is known.
async fn ended(exited: &mut watch::Receiver<Option<VmExit>>) -> Option<VmExit> {
    exited.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone())
}

/// Dials the agent of a sandbox that runs, the proxy being what it has to be.
pub(super) async fn redial(session: &mut Session) -> Result<Arc<dyn Agent>, Error> {
    session.record.machine()?;
    if session.record.transport == Some(Transport::VirtioSerial) {
        revive_proxy(session).await?;
    }
    let dialled = dial(&session.shared, &session.record).await;
    session.told(dialled)
}

/// Dials the agent of a sandbox that has a machine.
pub(super) async fn dial(shared: &Shared, record: &SandboxRecord) -> Result<Arc<dyn Agent>, AgentError> {
    let connector = shared.runtime().connector(record.config.agent_type);
    let address = record.phase.machine().and_then(|machine| machine.agent.clone());
    // Without an agent there is no address, and the connector that hands out the noop agent needs none.
    let nowhere =
        || AgentAddress::Unix { dir: shared.runtime().sandbox_dir(shared.id()), name: String::new() };
    connector.connect(&address.unwrap_or_else(nowhere)).await
}

/// Puts a new proxy in the place of one that died; the guest begins anew with it.
async fn revive_proxy(session: &mut Session) -> Result<(), Error> {
    let dir = session.runtime().sandbox_dir(session.id());
    if session.record.config.proxy_type == ProxyKind::KataBuiltIn {
        let serving = session.live.proxy.as_ref().is_some_and(proxy::Proxy::is_serving);
        // Another process of which this proxy is a part may be alive: its socket then accepts.
        if !serving && virtcontainers_sys::unix::connect_in(&dir, proxy::PROXY_SOCKET).is_err() {
            session.live.proxy = Some(proxy::serve(ProxyOptions::in_dir(dir))?);
        }
        return Ok(());
    }
    let alive = session.record.resources.iter().any(|resource| resource.is_alive(Role::Proxy));
    if !alive {
        let program = super::boot::proxy_program(session.runtime(), &session.record.config)?;
        let mark = super::cgroups::mark(session.shared(), &session.record.resources, Role::Proxy);
        // The intent first; the mark leads to one that was started by somebody who died before he could tell.
        session.record.resources.retain(|resource| resource.role() != Some(Role::Proxy));
        session.record.resources.push(Resource::Daemon { role: Role::Proxy, process: None });
        session.save()?;
        virtcontainers_device::stop_marked(&mark, Duration::ZERO).await?;
        let started = proxy::ProxyProcess::launch(&program, &dir, mark)?.record().process;
        if let Some(Resource::Daemon { process, .. }) = session.record.resources.last_mut() {
            *process = Some(started);
        }
        session.save()?;
    }
    Ok(())
}

/// Resolves when the machine has ended.
pub(super) async fn gone(shared: &Shared, machine: &Machine) -> Result<(), Error> {
    let failed = |source| Cause::Host { what: "watch the virtual machine's process", source };
    match (machine.vm.process, shared.watched()) {
        (Some(process), _) => match process.open().map_err(failed)? {
            Some(pidfd) => Ok(pidfd.exited().await.map_err(failed)?),
            None => Ok(()),
        },
        (None, Some(mut watched)) => {
            ended(&mut watched.exited).await;
            Ok(())
        }
        (None, None) => std::future::pending().await,
    }
}

/// Waits for the agent's answer, but not longer than the guest lives.
pub(super) async fn while_alive<T>(
    shared: &Shared,
    asked: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, Error> {
    use virtcontainers_store::StoreExt as _;
    let record: SandboxRecord = shared.runtime().store().load_as(shared.id())?;
    let Some(machine) = record.phase.machine() else {
        return Err(guest_gone(shared, "during the call"));
    };
    let mut end = std::pin::pin!(gone(shared, machine));
    let mut loss = std::pin::pin!(helper::first_loss(&record));
    tokio::select! {
        biased;
        answer = asked => match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.kind() == AgentErrorKind::Disconnected {
                    // The guest may be on its way out; a moment's patience makes the better error.
                    tokio::time::timeout(LAST_BREATH, &mut end).await.ok();
                }
                Err(explain(shared, &record, error))
            }
        },
        over = &mut end => {
            over?;
            Err(guest_gone(shared, "during the call"))
        }
        lost = &mut loss => match tokio::time::timeout(LAST_BREATH, &mut end).await {
            // It went with its machine.
            Ok(over) => Err(over.err().unwrap_or_else(|| guest_gone(shared, "during the call"))),
            Err(_elapsed) => Err(lost.into_error(shared, "during the call")),
        },
    }
}

/// What an agent's failure means: when the guest or a helper has died under it, that is what there is to tell.
pub(super) fn explain(shared: &Shared, record: &SandboxRecord, error: AgentError) -> Error {
    match record.phase.machine() {
        Some(machine) if breaks(&error) && !machine.is_alive() => guest_gone(shared, "during the call"),
        Some(_) if breaks(&error) => match helper::dead(record) {
            Some(dead) => dead.into_error(shared, "during the call"),
            None => error.into(),
        },
        Some(_) | None => error.into(),
    }
}

/// The error that tells of the machine's end.
pub(super) fn guest_gone(shared: &Shared, when: &'static str) -> Error {
    let exit = shared.watched().and_then(|watched| watched.exited.borrow().clone());
    let how = exit.map_or_else(|| "nobody saw how".to_owned(), |exit| exit.to_string());
    Error::from(Cause::GuestGone { id: shared.id().clone(), how, when }).with_console(shared.console())
}
