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
use virtcontainers_hypervisor::{Vm, VmExit};
use virtcontainers_types::{ProxyKind, Transport};

use super::{Machine, Resource, Session, Shared, resource::Role};
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
    shared: &Shared,
    vm: &dyn Vm,
    mut readiness: Readiness,
    connector: &dyn AgentConnector,
    address: &AgentAddress,
    within: Duration,
) -> Result<Arc<dyn Agent>, Error> {
    let greet = async {
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
    let mut exited = vm.exited();
    let id = shared.id();
    let failed: Error = tokio::select! {
        biased;
        exit = ended(&mut exited) => {
            let how = exit.map_or_else(|| "nobody saw how".to_owned(), |exit| exit.to_string());
            Cause::GuestGone { id: id.clone(), how, when: "before its agent answered" }.into()
        }
        greeted = tokio::time::timeout(within, greet) => match greeted {
            Ok(Ok(agent)) => return Ok(agent),
            Ok(Err(error)) => error.into(),
            Err(_elapsed) => Cause::BootTimeout { id: id.clone(), after: within }.into(),
        },
    };
    Err(failed.with_console(vm.console().lines(super::CONSOLE_LINES)))
}

/// Resolves when the machine has ended; with its exit, where that is known.
async fn ended(exited: &mut watch::Receiver<Option<VmExit>>) -> Option<VmExit> {
    exited.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone())
}

/// Dials the agent of a sandbox that runs.
pub(super) async fn redial(session: &mut Session) -> Result<(AgentAddress, Arc<dyn Agent>), Error> {
    let machine = session.machine()?.clone();
    let connector = session.runtime().connector(session.record.config.agent_type);
    // Without an agent there is no address, and the connector that hands out the noop agent needs none.
    let address = machine.agent.unwrap_or(AgentAddress::Unix { dir: machine.vm.dir, name: String::new() });
    if session.record.transport == Some(Transport::VirtioSerial) {
        revive_proxy(session)?;
    }
    let dialled = connector.connect(&address).await;
    let agent = session.told(dialled)?;
    Ok((address, agent))
}

/// Puts a new proxy in the place of one that died; the guest begins anew with it.
fn revive_proxy(session: &mut Session) -> Result<(), Error> {
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
        let mark = Role::Proxy.mark(session.runtime().root(), session.id());
        let process = proxy::ProxyProcess::launch(&program, &dir, mark)?.record().process;
        session.record.resources.retain(|resource| resource.role() != Some(Role::Proxy));
        session.record.resources.push(Resource::Daemon { role: Role::Proxy, process: Some(process) });
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
    let record: super::SandboxRecord = shared.runtime().store().load_as(shared.id())?;
    let Some(machine) = record.phase.machine() else {
        return Err(guest_gone(shared, "during the call"));
    };
    let mut end = std::pin::pin!(gone(shared, machine));
    tokio::select! {
        biased;
        answer = asked => match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.kind() == AgentErrorKind::Disconnected {
                    // The guest may be on its way out; a moment's patience makes the better error.
                    tokio::time::timeout(LAST_BREATH, &mut end).await.ok();
                }
                Err(explain(shared, Some(machine), error))
            }
        },
        over = &mut end => {
            over?;
            Err(guest_gone(shared, "during the call"))
        }
    }
}

/// What an agent's failure means: when the guest has died under it, that is what there is to tell.
pub(super) fn explain(shared: &Shared, machine: Option<&Machine>, error: AgentError) -> Error {
    let broken = matches!(
        error.kind(),
        AgentErrorKind::Disconnected
            | AgentErrorKind::Timeout
            | AgentErrorKind::Transport
            | AgentErrorKind::NotReady
    );
    match machine {
        Some(machine) if broken && !machine.is_alive() => guest_gone(shared, "during the call"),
        Some(_) | None => error.into(),
    }
}

fn guest_gone(shared: &Shared, when: &'static str) -> Error {
    let exit = shared.watched().and_then(|watched| watched.exited.borrow().clone());
    let how = exit.map_or_else(|| "nobody saw how".to_owned(), |exit| exit.to_string());
    Error::from(Cause::GuestGone { id: shared.id().clone(), how, when }).with_console(shared.console())
}
