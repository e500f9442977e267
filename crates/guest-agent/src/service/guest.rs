//! Is the agent there, which one, and how is its guest: `Check`, `Version`, `GetGuestDetails`, `GetMetrics`; and what
//! the host knows better than the guest: `SetGuestDateTime`, `ReseedRandomDev`.

use std::{path::Path, sync::Arc};

use rustix::time::{ClockId, Timespec};
use virtcontainers_agent_protocol::api::{
    Empty,
    agent::{
        AgentDetails, GetMetricsRequest, GuestDetailsRequest, GuestDetailsResponse, Metrics,
        ReseedRandomDevRequest, SetGuestDateTimeRequest,
    },
    health::{CheckRequest, HealthCheckResponse, VersionCheckResponse, health_check_response::ServingStatus},
};

use super::{blocking, hotplug, in_guest};
use crate::{VERSION, agent::Agent, error::CallError, metrics, storage::Driver, sys::random};

/// The version of the protocol, as Kata counts it.
const PROTOCOL_VERSION: &str = "0.0.1";

const MEMORY: &str = "/sys/devices/system/memory";

/// The end of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

const MICROSECONDS: std::ops::Range<i64> = 0..1_000_000;

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
        response.mem_block_size_bytes = hotplug::block_size(Path::new(MEMORY)).unwrap_or(0);
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

pub(super) async fn metrics(_: &Arc<Agent>, _: GetMetricsRequest) -> Result<Metrics, CallError> {
    let collected = blocking(|| Ok(metrics::collect(Path::new("/proc")))).await;
    let metrics = collected.map_err(CallError::io("read", "/proc"))?;
    Ok(Metrics { metrics, ..Default::default() })
}

pub(super) async fn set_time(
    agent: &Arc<Agent>,
    request: SetGuestDateTimeRequest,
) -> Result<Empty, CallError> {
    let invalid = |field, value| CallError::Invalid { field, reason: format!("{value} is out of range") };
    if !(1..=MAX_SECONDS).contains(&request.Sec) {
        return Err(invalid("Sec", request.Sec));
    }
    if !MICROSECONDS.contains(&request.Usec) {
        return Err(invalid("Usec", request.Usec));
    }
    in_guest(agent, "SetGuestDateTime")?;
    let time = Timespec { tv_sec: request.Sec, tv_nsec: request.Usec * 1000 };
    let set = rustix::time::clock_settime(ClockId::Realtime, time);
    set.map_err(|error| CallError::io("set the time of", "CLOCK_REALTIME")(error.into()))?;
    Ok(Empty::new())
}

pub(super) async fn reseed(agent: &Arc<Agent>, request: ReseedRandomDevRequest) -> Result<Empty, CallError> {
    let length = request.data.len();
    if !(1..=random::MAX_SEED).contains(&length) {
        let reason = format!("give 1 to {} bytes, not {length}", random::MAX_SEED);
        return Err(CallError::Invalid { field: "data", reason });
    }
    in_guest(agent, "ReseedRandomDev")?;
    random::reseed(&request.data).map_err(CallError::io("reseed", "/dev/urandom"))?;
    Ok(Empty::new())
}
