//! Which function answers which call, and what happens around all of them.
//!
//! A call that changes something runs as a task of its own: it comes to its end even when the host hangs up. One that
//! only waits ends with the connection. Neither takes the agent along when it panics.

use std::{future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures::FutureExt as _;
use tokio::sync::oneshot;
use ttrpc::r#async::TtrpcContext;
use virtcontainers_agent_protocol::api::{
    AgentService, Empty, GuestService, Health,
    agent::*,
    csi,
    health::*,
    types,
    virtcontainers::{ListProcessesRequest, ListProcessesResponse},
};
use virtcontainers_sys::task;

use super::{
    container, diagnostic, file, guest, hotplug, network, process, sandbox, storage, stream, swap, volume,
};
use crate::{agent::Agent, error::CallError, metrics};

type Answer<'a, T> = Pin<Box<dyn Future<Output = ttrpc::Result<T>> + Send + 'a>>;

/// The agent as a service.
pub(super) struct Calls {
    agent: Arc<Agent>,
}

impl Calls {
    pub(super) fn new(agent: Arc<Agent>) -> Self {
        Self { agent }
    }
}

/// Runs a call to its end, whatever becomes of the connection.
async fn change<T: Send + 'static>(
    name: &'static str,
    call: impl Future<Output = Result<T, CallError>> + Send + 'static,
) -> ttrpc::Result<T> {
    let (sender, result) = oneshot::channel();
    let call = async move {
        // A host that has hung up wants no answer.
        sender.send(call.await).ok();
    };
    // A task that is awaited here would be aborted with the connection.
    task::spawn(name, call).detach();
    match result.await {
        Ok(result) => answer(name, result),
        Err(_panicked) => answer(name, Err(CallError::Panicked(name))),
    }
}

/// Runs a call as long as the connection lasts.
async fn observe<T>(
    name: &'static str,
    call: impl Future<Output = Result<T, CallError>> + Send,
) -> ttrpc::Result<T> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(result) => answer(name, result),
        Err(_panic) => answer(name, Err(CallError::Panicked(name))),
    }
}

fn answer<T>(name: &'static str, result: Result<T, CallError>) -> ttrpc::Result<T> {
    metrics::count(name, result.is_ok());
    result.map_err(|error| {
        tracing::info!(call = name, %error, "refused");
        error.into()
    })
}

/// Methods of the generated traits. `change` and `observe` name the function that answers; `absent` calls answer
/// UNIMPLEMENTED with their name.
macro_rules! calls {
    ($($how:ident $method:ident($request:ty) -> $response:ty = $name:literal $(=> $call:path)?;)*) => {
        $(
            fn $method<'life0, 'life1, 'async_trait>(
                &'life0 self,
                _context: &'life1 TtrpcContext,
                request: $request,
            ) -> Answer<'async_trait, $response>
            where
                'life0: 'async_trait,
                'life1: 'async_trait,
                Self: 'async_trait,
            {
                calls!(@ $how self, request, $name $(, $call)?)
            }
        )*
    };
    (@ change $self:ident, $request:ident, $name:literal, $call:path) => {{
        let agent = Arc::clone(&$self.agent);
        Box::pin(change($name, async move { $call(&agent, $request).await }))
    }};
    (@ observe $self:ident, $request:ident, $name:literal, $call:path) => {
        Box::pin(observe($name, $call(&$self.agent, $request)))
    };
    (@ absent $self:ident, $request:ident, $name:literal) => {{
        drop($request);
        Box::pin(async { answer($name, Err(CallError::NotBuilt($name))) })
    }};
}

impl AgentService for Calls {
    calls! {
        change create_container(CreateContainerRequest) -> Empty = "CreateContainer" => container::create;
        change start_container(StartContainerRequest) -> Empty = "StartContainer" => container::start;
        change remove_container(RemoveContainerRequest) -> Empty = "RemoveContainer" => container::remove;
        change pause_container(PauseContainerRequest) -> Empty = "PauseContainer" => container::pause;
        change resume_container(ResumeContainerRequest) -> Empty = "ResumeContainer" => container::resume;
        change update_container(UpdateContainerRequest) -> Empty = "UpdateContainer" => container::update;
        observe stats_container(StatsContainerRequest) -> StatsContainerResponse
            = "StatsContainer" => container::statistics;
        change update_ephemeral_mounts(UpdateEphemeralMountsRequest) -> Empty
            = "UpdateEphemeralMounts" => storage::update;
        absent remove_stale_virtiofs_share_mounts(RemoveStaleVirtiofsShareMountsRequest) -> Empty
            = "RemoveStaleVirtiofsShareMounts";
        observe get_diagnostic_data(GetDiagnosticDataRequest) -> GetDiagnosticDataResponse
            = "GetDiagnosticData" => diagnostic::get;

        change exec_process(ExecProcessRequest) -> Empty = "ExecProcess" => process::exec;
        change signal_process(SignalProcessRequest) -> Empty = "SignalProcess" => process::signal;
        observe wait_process(WaitProcessRequest) -> WaitProcessResponse = "WaitProcess" => process::wait;
        change tty_win_resize(TtyWinResizeRequest) -> Empty = "TtyWinResize" => process::resize;

        observe read_stdout(ReadStreamRequest) -> ReadStreamResponse = "ReadStdout" => stream::read_stdout;
        observe read_stderr(ReadStreamRequest) -> ReadStreamResponse = "ReadStderr" => stream::read_stderr;
        observe write_stdin(WriteStreamRequest) -> WriteStreamResponse = "WriteStdin" => stream::write_stdin;
        observe close_stdin(CloseStdinRequest) -> Empty = "CloseStdin" => stream::close_stdin;

        change create_sandbox(CreateSandboxRequest) -> Empty = "CreateSandbox" => sandbox::create;
        change destroy_sandbox(DestroySandboxRequest) -> Empty = "DestroySandbox" => sandbox::destroy;

        observe get_guest_details(GuestDetailsRequest) -> GuestDetailsResponse = "GetGuestDetails" => guest::details;
        observe get_metrics(GetMetricsRequest) -> Metrics = "GetMetrics" => guest::metrics;
        observe get_oom_event(GetOOMEventRequest) -> OOMEvent = "GetOOMEvent" => container::oom_event;
        observe get_volume_stats(VolumeStatsRequest) -> csi::VolumeStatsResponse = "GetVolumeStats" => volume::stats;
        change online_cpu_mem(OnlineCPUMemRequest) -> Empty = "OnlineCPUMem" => hotplug::online;
        change mem_hotplug_by_probe(MemHotplugByProbeRequest) -> Empty = "MemHotplugByProbe" => hotplug::probe;
        absent mem_agent_memcg_set(MemAgentMemcgConfig) -> Empty = "MemAgentMemcgSet";
        absent mem_agent_compact_set(MemAgentCompactConfig) -> Empty = "MemAgentCompactSet";
        change reseed_random_dev(ReseedRandomDevRequest) -> Empty = "ReseedRandomDev" => guest::reseed;
        change set_guest_date_time(SetGuestDateTimeRequest) -> Empty = "SetGuestDateTime" => guest::set_time;
        change copy_file(CopyFileRequest) -> Empty = "CopyFile" => file::copy;
        change add_swap(AddSwapRequest) -> Empty = "AddSwap" => swap::add;
        change add_swap_path(AddSwapPathRequest) -> Empty = "AddSwapPath" => swap::add_path;
        absent resize_volume(ResizeVolumeRequest) -> Empty = "ResizeVolume";
        absent set_policy(SetPolicyRequest) -> Empty = "SetPolicy";

        change update_interface(UpdateInterfaceRequest) -> types::Interface
            = "UpdateInterface" => network::update_interface;
        change update_routes(UpdateRoutesRequest) -> Routes = "UpdateRoutes" => network::update_routes;
        observe list_interfaces(ListInterfacesRequest) -> Interfaces = "ListInterfaces" => network::list_interfaces;
        observe list_routes(ListRoutesRequest) -> Routes = "ListRoutes" => network::list_routes;
        change add_arp_neighbors(AddARPNeighborsRequest) -> Empty = "AddARPNeighbors" => network::add_neighbors;
        absent get_ip_tables(GetIPTablesRequest) -> GetIPTablesResponse = "GetIPTables";
        absent set_ip_tables(SetIPTablesRequest) -> SetIPTablesResponse = "SetIPTables";
    }
}

impl GuestService for Calls {
    calls! {
        observe list_processes(ListProcessesRequest) -> ListProcessesResponse = "ListProcesses" => process::list;
    }
}

impl Health for Calls {
    calls! {
        observe check(CheckRequest) -> HealthCheckResponse = "Check" => guest::check;
        observe version(CheckRequest) -> VersionCheckResponse = "Version" => guest::version;
    }
}

#[cfg(test)]
mod tests;
