//! The calls, one for one: what goes out, and what a reply may look like.

use std::time::Duration;

use async_trait::async_trait;
use oci_spec::runtime::LinuxResources;
use ttrpc::context::Context;
use virtcontainers_agent_protocol::{
    api::{agent as wire, health, virtcontainers as own},
    oci,
};
use virtcontainers_types::{
    ContainerId, ExecId,
    net::{Interface, Neighbor, Route},
    stats::ContainerStats,
};

use super::{KataAgent, reply, request};
use crate::{
    agent::{
        Agent, AgentInfo, ContainerSpec, FileChunk, GuestDetails, GuestProcess, GuestSandbox, OnlineCpuMem,
        ProcessSpec, Storage, TerminalSize, VolumeStats,
    },
    error::{AgentError, AgentErrorKind, guest_text},
};

/// SIGKILL.
const KILL: u32 = 9;

/// `call!(self.service.function(request), "Method", limit)`: one round trip.
macro_rules! call {
    ($this:ident.$service:ident.$function:ident($request:expr), $method:expr, $limit:expr) => {{
        let (client, request) = ($this.$service.clone(), $request);
        $this.call($method, $limit, async move { client.$function(Context::default(), &request).await }).await
    }};
}

#[async_trait]
impl Agent for KataAgent {
    fn disconnect(&self) {
        self.ended.cancel();
    }

    async fn check(&self) -> Result<(), AgentError> {
        let request = health::CheckRequest::new();
        reply::serving(call!(self.health.check(request), "Check", Some(self.timeouts.check))?)
    }

    async fn info(&self) -> Result<AgentInfo, AgentError> {
        let limit = Some(self.timeouts.check);
        let version = call!(self.health.version(health::CheckRequest::new()), "Version", limit)?;
        let details =
            call!(self.agent.get_guest_details(wire::GuestDetailsRequest::new()), "GetGuestDetails", limit)?;
        let details = details.agent_details.unwrap_or_default();
        Ok(AgentInfo {
            agent_version: guest_text(&version.agent_version),
            protocol_version: guest_text(&version.grpc_version),
            init_daemon: details.init_daemon,
            supports_seccomp: details.supports_seccomp,
        })
    }

    async fn create_sandbox(&self, sandbox: GuestSandbox) -> Result<(), AgentError> {
        let request = wire::CreateSandboxRequest {
            hostname: sandbox.hostname,
            dns: sandbox.dns,
            storages: sandbox.storages.into_iter().map(request::storage).collect(),
            sandbox_pidns: sandbox.shared_pid_namespace,
            sandbox_id: sandbox.sandbox_id,
            guest_hook_path: sandbox.guest_hook_path,
            kernel_modules: sandbox.kernel_modules.into_iter().map(request::kernel_module).collect(),
            ..Default::default()
        };
        call!(self.agent.create_sandbox(request), "CreateSandbox", Some(self.timeouts.create)).map(drop)
    }

    async fn destroy_sandbox(&self) -> Result<(), AgentError> {
        let request = wire::DestroySandboxRequest::new();
        match call!(self.agent.destroy_sandbox(request), "DestroySandbox", Some(self.timeouts.destroy)) {
            // The guest powered off before its answer got out.
            Err(AgentError::Disconnected { .. }) => Ok(()),
            result => result.map(drop),
        }
    }

    async fn create_container(&self, container: ContainerSpec) -> Result<(), AgentError> {
        const METHOD: &str = "CreateContainer";
        let ContainerSpec { id, spec, storages, stdin, shared_pid_namespace } = container;
        let terminal =
            spec.process().as_ref().and_then(oci_spec::runtime::Process::terminal).unwrap_or(false);
        let exec = ExecId::from(&id);
        let request = wire::CreateContainerRequest {
            container_id: id.to_string(),
            exec_id: exec.to_string(),
            storages: storages.into_iter().map(request::storage).collect(),
            OCI: Some(oci::to_message(&spec).map_err(|error| request::unsendable(METHOD, &error))?).into(),
            sandbox_pidns: shared_pid_namespace,
            ..Default::default()
        };
        self.exits.forget_container(&id);
        self.signals.forget_container(&id);
        call!(self.agent.create_container(request), METHOD, Some(self.timeouts.create))?;
        if stdin || terminal {
            return Ok(()); // a terminal has one end for both directions: closing it would end the output too
        }
        if let Err(error) = self.close_stdin(&id, &exec).await {
            // A create that failed leaves nothing behind.
            self.remove_container(&id, None).await.ok();
            return Err(error);
        }
        Ok(())
    }

    async fn start_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::StartContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.start_container(request), "StartContainer", Some(self.timeouts.call)).map(drop)
    }

    async fn remove_container(
        &self,
        container: &ContainerId,
        timeout: Option<Duration>,
    ) -> Result<(), AgentError> {
        let timeout = timeout.unwrap_or_default();
        let request = wire::RemoveContainerRequest {
            container_id: container.to_string(),
            timeout: request::whole_seconds(timeout),
            ..Default::default()
        };
        // The guest's bound is the one to be met first.
        let limit = self.timeouts.call.saturating_add(timeout);
        call!(self.agent.remove_container(request), "RemoveContainer", Some(limit))?;
        self.exits.forget_container(container);
        self.signals.forget_container(container);
        Ok(())
    }

    async fn pause_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::PauseContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.pause_container(request), "PauseContainer", Some(self.timeouts.call)).map(drop)
    }

    async fn resume_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        let request =
            wire::ResumeContainerRequest { container_id: container.to_string(), ..Default::default() };
        call!(self.agent.resume_container(request), "ResumeContainer", Some(self.timeouts.call)).map(drop)
    }

    async fn exec_process(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        process: ProcessSpec,
    ) -> Result<(), AgentError> {
        const METHOD: &str = "ExecProcess";
        let ProcessSpec { process, stdin } = process;
        let request = wire::ExecProcessRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            process: Some(
                oci::process_to_message(&process).map_err(|error| request::unsendable(METHOD, &error))?,
            )
            .into(),
            ..Default::default()
        };
        self.exits.forget(container, exec);
        self.signals.forget(container, exec);
        call!(self.agent.exec_process(request), METHOD, Some(self.timeouts.call))?;
        if stdin || process.terminal().unwrap_or(false) {
            return Ok(());
        }
        match self.close_stdin(container, exec).await {
            Err(error) if error.kind() == AgentErrorKind::NotFound => Ok(()), // it has ended already
            Err(error) => {
                self.signal_process(container, Some(exec), KILL).await.ok();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    async fn wait_process(&self, container: &ContainerId, exec: &ExecId) -> Result<i32, AgentError> {
        let status = self.exit(container, exec).await?;
        Ok(self.exit_code(container, exec, status).await)
    }

    async fn signal_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), AgentError> {
        self.signals.sent(container, exec, signal);
        let request = wire::SignalProcessRequest {
            container_id: container.to_string(),
            exec_id: exec.map(ToString::to_string).unwrap_or_default(),
            signal,
            ..Default::default()
        };
        call!(self.agent.signal_process(request), "SignalProcess", Some(self.timeouts.call)).map(drop)
    }

    async fn resize_terminal(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        size: TerminalSize,
    ) -> Result<(), AgentError> {
        let request = wire::TtyWinResizeRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            row: size.rows,
            column: size.columns,
            ..Default::default()
        };
        call!(self.agent.tty_win_resize(request), "TtyWinResize", Some(self.timeouts.call)).map(drop)
    }

    async fn read_stdout(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        const METHOD: &str = "ReadStdout";
        let request = request::read(container, exec, max);
        let len = request.len;
        let reply = call!(self.agent.read_stdout(request), METHOD, None);
        self.output(METHOD, container, exec, len, reply).await
    }

    async fn read_stderr(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        const METHOD: &str = "ReadStderr";
        let request = request::read(container, exec, max);
        let len = request.len;
        let reply = call!(self.agent.read_stderr(request), METHOD, None);
        self.output(METHOD, container, exec, len, reply).await
    }

    async fn write_stdin(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        data: &[u8],
    ) -> Result<usize, AgentError> {
        const METHOD: &str = "WriteStdin";
        if data.is_empty() {
            return Ok(0);
        }
        let sent = &data[..data.len().min(request::MAX_STREAM)];
        let request = wire::WriteStreamRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            data: sent.to_vec(),
            ..Default::default()
        };
        let reply = call!(self.agent.write_stdin(request), METHOD, None)?;
        reply::taken(reply, sent.len())
    }

    async fn close_stdin(&self, container: &ContainerId, exec: &ExecId) -> Result<(), AgentError> {
        let request = wire::CloseStdinRequest {
            container_id: container.to_string(),
            exec_id: exec.to_string(),
            ..Default::default()
        };
        call!(self.agent.close_stdin(request), "CloseStdin", Some(self.timeouts.call)).map(drop)
    }

    async fn update_container(
        &self,
        container: &ContainerId,
        resources: LinuxResources,
    ) -> Result<(), AgentError> {
        const METHOD: &str = "UpdateContainer";
        let resources =
            oci::resources_to_message(&resources).map_err(|error| request::unsendable(METHOD, &error))?;
        let request = wire::UpdateContainerRequest {
            container_id: container.to_string(),
            resources: Some(resources).into(),
            ..Default::default()
        };
        call!(self.agent.update_container(request), METHOD, Some(self.timeouts.call)).map(drop)
    }

    async fn stats_container(&self, container: &ContainerId) -> Result<ContainerStats, AgentError> {
        let request =
            wire::StatsContainerRequest { container_id: container.to_string(), ..Default::default() };
        let stats = call!(self.agent.stats_container(request), "StatsContainer", Some(self.timeouts.call))?;
        reply::container_stats(stats)
    }

    async fn list_processes(&self, container: &ContainerId) -> Result<Vec<GuestProcess>, AgentError> {
        const METHOD: &str = "ListProcesses";
        let request = own::ListProcessesRequest { container_id: container.to_string(), ..Default::default() };
        match call!(self.guest.list_processes(request), METHOD, Some(self.timeouts.call)) {
            Ok(list) => reply::processes(list),
            Err(error) => Err(self.without_service(container, error).await),
        }
    }

    async fn oom_event(&self) -> Result<ContainerId, AgentError> {
        reply::oom_event(self.next_oom().await.map_err(AgentError::or_unimplemented)?)
    }

    async fn copy_file(&self, chunk: FileChunk) -> Result<(), AgentError> {
        let request = request::file(chunk)?;
        call!(self.agent.copy_file(request), "CopyFile", Some(self.timeouts.call)).map(drop)
    }

    async fn update_ephemeral_mounts(&self, storages: Vec<Storage>) -> Result<(), AgentError> {
        const METHOD: &str = "UpdateEphemeralMounts";
        let storages = storages.into_iter().map(request::storage).collect();
        let storages = request::some(METHOD, "storages", storages)?;
        let request = wire::UpdateEphemeralMountsRequest { storages, ..Default::default() };
        call!(self.agent.update_ephemeral_mounts(request), METHOD, Some(self.timeouts.call)).map(drop)
    }

    async fn reseed_random(&self, data: Vec<u8>) -> Result<(), AgentError> {
        const METHOD: &str = "ReseedRandomDev";
        let data = request::some(METHOD, "bytes of randomness", data)?;
        let request = wire::ReseedRandomDevRequest { data, ..Default::default() };
        let reply = call!(self.agent.reseed_random_dev(request), METHOD, Some(self.timeouts.call));
        reply.map(drop).map_err(AgentError::or_unimplemented)
    }

    async fn set_time(&self, since_epoch: Duration) -> Result<(), AgentError> {
        let request = request::time(since_epoch)?;
        let reply =
            call!(self.agent.set_guest_date_time(request), "SetGuestDateTime", Some(self.timeouts.call));
        reply.map(drop).map_err(AgentError::or_unimplemented)
    }

    async fn online_cpu_mem(&self, plugged: OnlineCpuMem) -> Result<(), AgentError> {
        let OnlineCpuMem { wait, cpus: nb_cpus, cpu_only } = plugged;
        let request = wire::OnlineCPUMemRequest { wait, nb_cpus, cpu_only, ..Default::default() };
        let reply = call!(self.agent.online_cpu_mem(request), "OnlineCPUMem", Some(self.timeouts.call));
        reply.map(drop).map_err(AgentError::or_unimplemented)
    }

    async fn mem_hotplug_by_probe(&self, addresses: Vec<u64>) -> Result<(), AgentError> {
        const METHOD: &str = "MemHotplugByProbe";
        let request = wire::MemHotplugByProbeRequest {
            memHotplugProbeAddr: request::some(METHOD, "addresses", addresses)?,
            ..Default::default()
        };
        call!(self.agent.mem_hotplug_by_probe(request), METHOD, Some(self.timeouts.call)).map(drop)
    }

    async fn metrics(&self) -> Result<String, AgentError> {
        let request = wire::GetMetricsRequest::new();
        let metrics = call!(self.agent.get_metrics(request), "GetMetrics", Some(self.timeouts.call));
        reply::metrics(metrics.map_err(AgentError::or_unimplemented)?)
    }

    async fn volume_stats(&self, path: &str) -> Result<VolumeStats, AgentError> {
        const METHOD: &str = "GetVolumeStats";
        let volume_guest_path = request::given(METHOD, "path of a volume", path)?;
        let request = wire::VolumeStatsRequest { volume_guest_path, ..Default::default() };
        reply::volume_stats(call!(self.agent.get_volume_stats(request), METHOD, Some(self.timeouts.call))?)
    }

    async fn add_swap(&self, pci_path: &[u32]) -> Result<(), AgentError> {
        const METHOD: &str = "AddSwap";
        let slots = request::some(METHOD, "slots of a PCI path", pci_path.to_vec())?;
        let request = wire::AddSwapRequest { PCIPath: slots, ..Default::default() };
        call!(self.agent.add_swap(request), METHOD, Some(self.timeouts.call)).map(drop)
    }

    async fn add_swap_path(&self, path: &str) -> Result<(), AgentError> {
        const METHOD: &str = "AddSwapPath";
        let path = request::given(METHOD, "path of a block device", path)?;
        let request = wire::AddSwapPathRequest { path, ..Default::default() };
        call!(self.agent.add_swap_path(request), METHOD, Some(self.timeouts.call)).map(drop)
    }

    async fn diagnostic_data(
        &self,
        log_type: &str,
        container: Option<&ContainerId>,
    ) -> Result<String, AgentError> {
        const METHOD: &str = "GetDiagnosticData";
        let request = wire::GetDiagnosticDataRequest {
            log_type: request::given(METHOD, "sort of log", log_type)?,
            container_id: container.map(ToString::to_string).unwrap_or_default(),
            ..Default::default()
        };
        let data = call!(self.agent.get_diagnostic_data(request), METHOD, Some(self.timeouts.call))?;
        reply::diagnostic_data(data)
    }

    async fn guest_details(&self) -> Result<GuestDetails, AgentError> {
        let request =
            wire::GuestDetailsRequest { mem_block_size: true, mem_hotplug_probe: true, ..Default::default() };
        let details =
            call!(self.agent.get_guest_details(request), "GetGuestDetails", Some(self.timeouts.call));
        reply::guest_details(details.map_err(AgentError::or_unimplemented)?)
    }

    async fn update_interface(&self, interface: Interface) -> Result<Interface, AgentError> {
        let request = request::interface(interface.clone())?;
        let limit = Some(self.timeouts.call);
        let told = call!(self.agent.update_interface(request), "UpdateInterface", limit)?;
        Ok(reply::updated_interface(told)?.unwrap_or(interface))
    }

    async fn list_interfaces(&self) -> Result<Vec<Interface>, AgentError> {
        let request = wire::ListInterfacesRequest::new();
        let limit = Some(self.timeouts.call);
        reply::interfaces(call!(self.agent.list_interfaces(request), "ListInterfaces", limit)?)
    }

    async fn update_routes(&self, routes: Vec<Route>) -> Result<Vec<Route>, AgentError> {
        let request = request::routes(routes)?;
        let limit = Some(self.timeouts.call);
        reply::updated_routes(call!(self.agent.update_routes(request), "UpdateRoutes", limit)?)
    }

    async fn list_routes(&self) -> Result<Vec<Route>, AgentError> {
        let request = wire::ListRoutesRequest::new();
        reply::routes(call!(self.agent.list_routes(request), "ListRoutes", Some(self.timeouts.call))?)
    }

    async fn add_arp_neighbors(&self, neighbors: Vec<Neighbor>) -> Result<(), AgentError> {
        let request = request::neighbors(neighbors)?;
        let limit = Some(self.timeouts.call);
        call!(self.agent.add_arp_neighbors(request), "AddARPNeighbors", limit).map(drop)
    }
}
