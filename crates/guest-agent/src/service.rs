//! The protocol's calls, one file for each family. `dispatch` is the table of all of them.

mod container;
mod dispatch;
mod guest;
mod process;
mod sandbox;
mod storage;
mod stream;

use std::{collections::HashMap, sync::Arc};

use ttrpc::r#async::Service;
use virtcontainers_agent_protocol::api;
use virtcontainers_types::{ContainerId, ExecId};

use crate::{agent::Agent, error::CallError};

/// The services of `agent`, for one ttrpc server.
#[must_use]
pub fn services(agent: &Arc<Agent>) -> HashMap<String, Service> {
    let calls = Arc::new(dispatch::Calls::new(Arc::clone(agent)));
    let mut services = api::create_agent_service(Arc::clone(&calls) as _);
    services.extend(api::create_health(calls));
    services
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
