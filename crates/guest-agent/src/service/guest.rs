//! Is the agent there, which one, and in what guest: `Check`, `Version`, `GetGuestDetails`.

use std::{fs, path::Path, sync::Arc};

use virtcontainers_agent_protocol::api::{
    agent::{AgentDetails, GuestDetailsRequest, GuestDetailsResponse},
    health::{CheckRequest, HealthCheckResponse, VersionCheckResponse, health_check_response::ServingStatus},
};

use crate::{VERSION, agent::Agent, error::CallError, storage::Driver};

/// The version of the protocol, as Kata counts it.
const PROTOCOL_VERSION: &str = "0.0.1";

const MEMORY: &str = "/sys/devices/system/memory";

pub(super) async fn check(_: &Arc<Agent>, _: CheckRequest) -> Result<HealthCheckResponse, CallError> {
    let mut response = HealthCheckResponse::new();
    response.status = ServingStatus::SERVING.into();
    Ok(response)
}

pub(super) async fn version(_: &Arc<Agent>, _: CheckRequest) -> Result<VersionCheckResponse, CallError> {
    let mut response = VersionCheckResponse::new();
    response.grpc_version = PROTOCOL_VERSION.to_owned();
    response.agent_version = VERSION.to_owned();
    Ok(response)
}

pub(super) async fn details(
    agent: &Arc<Agent>,
    request: GuestDetailsRequest,
) -> Result<GuestDetailsResponse, CallError> {
    let mut response = GuestDetailsResponse::new();
    if request.mem_block_size {
        // A kernel without memory hotplug has no blocks: 0 says so.
        let size = fs::read_to_string(Path::new(MEMORY).join("block_size_bytes")).unwrap_or_default();
        response.mem_block_size_bytes = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
    }
    if request.mem_hotplug_probe {
        response.support_mem_hotplug_probe = Path::new(MEMORY).join("probe").exists();
    }
    let mut details = AgentDetails::new();
    details.version = VERSION.to_owned();
    details.init_daemon = agent.settings().is_init;
    details.storage_handlers = Driver::each_name().map(str::to_owned).collect();
    details.supports_seccomp = true;
    response.agent_details = Some(details).into();
    Ok(response)
}
