//! The protocol's calls, one file for each family. `dispatch` is the table of all of them.

mod container;
mod decoding;
pub(crate) mod diagnostic;
mod dispatch;
mod file;
mod guest;
pub(crate) mod hotplug;
mod modules;
mod network;
mod process;
mod sandbox;
mod storage;
mod stream;
pub(crate) mod swap;
mod volume;

use std::{collections::HashMap, io, sync::Arc};

use ttrpc::r#async::Service;
use virtcontainers_agent_protocol::api::{self, agent::DestroySandboxRequest};
use virtcontainers_types::{ContainerId, ExecId};

use crate::{agent::Agent, error::CallError};

/// The services of `agent`, for one ttrpc server.
#[must_use]
pub fn services(agent: &Arc<Agent>) -> HashMap<String, Service> {
    let calls = Arc::new(dispatch::Calls::new(Arc::clone(agent)));
    let mut services = api::create_agent_service(Arc::clone(&calls) as _);
    services.extend(api::create_guest_service(Arc::clone(&calls) as _));
    services.extend(api::create_health(calls));
    services.into_iter().map(|(name, service)| (name, decoding::checked(service))).collect()
}

fn container_id(id: &str) -> Result<ContainerId, CallError> {
    ContainerId::new(id)
        .map_err(|error| CallError::Invalid { field: "container_id", reason: error.to_string() })
}

fn exec_id(id: &str) -> Result<ExecId, CallError> {
    ExecId::new(id).map_err(|error| CallError::Invalid { field: "exec_id", reason: error.to_string() })
}

/// Refuses a field that is set although it is not built.
fn unset(field: &'static str, is_unset: bool) -> Result<(), CallError> {
    if is_unset { Ok(()) } else { Err(CallError::NotBuilt(field)) }
}

/// Refuses what would change the machine on which an agent runs that is not a virtual machine's.
fn in_guest(agent: &Agent, call: &'static str) -> Result<(), CallError> {
    if agent.settings().is_init { Ok(()) } else { Err(CallError::OutsideOfGuest(call)) }
}

/// Runs what may wait for a device or for the host's file server on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Ends the sandbox, as `DestroySandbox` does, when not the host asks for it.
pub(crate) async fn end_sandbox(agent: &Arc<Agent>) {
    if let Err(error) = sandbox::destroy(agent, DestroySandboxRequest::new()).await {
        tracing::warn!(%error, "while ending the sandbox");
    }
}
