//! The calls of the mock agent.

use std::time::Duration;

use async_trait::async_trait;
use oci_spec::runtime::LinuxResources;
use virtcontainers_types::{
    ContainerId, ExecId,
    net::{Interface, Neighbor, Route},
    stats::ContainerStats,
};

use super::{
    Container, Guest, Method, MockAgent,
    act::{refused, set_paused},
};
use crate::{
    agent::{
        Agent, AgentInfo, ContainerSpec, FileChunk, GuestDetails, GuestProcess, GuestSandbox, OnlineCpuMem,
        ProcessSpec, Storage, TerminalSize, VolumeStats,
    },
    error::{AgentError, RpcCode},
    io::OutputStream,
};

#[async_trait]
impl Agent for MockAgent {
    async fn check(&self) -> Result<(), AgentError> {
        self.enter(Method::Check, None, None).await
    }

    async fn info(&self) -> Result<AgentInfo, AgentError> {
        self.enter(Method::Info, None, None).await?;
        let version = || env!("CARGO_PKG_VERSION").to_owned();
        Ok(AgentInfo { agent_version: version(), init_daemon: true, ..AgentInfo::default() })
    }

    async fn create_sandbox(&self, sandbox: GuestSandbox) -> Result<(), AgentError> {
        self.enter(Method::CreateSandbox, None, None).await?;
        self.change(Method::CreateSandbox, |guest| match &guest.sandbox {
            Some(_) => Err(refused(Method::CreateSandbox, RpcCode::AlreadyExists, "there is a sandbox")),
            None => {
                guest.sandbox = Some(sandbox);
                Ok(())
            }
        })
    }

    async fn destroy_sandbox(&self) -> Result<(), AgentError> {
        self.enter(Method::DestroySandbox, None, None).await?;
        self.guest.send_modify(|guest| {
            guest.sandbox = None;
            guest.containers.clear();
        });
        Ok(())
    }

    async fn create_container(&self, spec: ContainerSpec) -> Result<(), AgentError> {
        const METHOD: Method = Method::CreateContainer;
        let id = spec.id.clone();
        self.act(METHOD, &id, None, |guest| {
            if guest.containers.contains_key(&spec.id) {
                return Err(refused(
                    METHOD,
                    RpcCode::AlreadyExists,
                    &format!("container {} exists", spec.id),
                ));
            }
            let exec = ExecId::from(&spec.id);
            let first = guest.new_process(&exec, spec.stdin, spec.spec.process().as_ref());
            let (paused, resources, processes) = (false, None, [(exec, first)].into());
            guest.containers.insert(spec.id.clone(), Container { spec, paused, resources, processes });
            Ok(())
        })
        .await
    }

    async fn start_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::StartContainer;
        self.act(METHOD, container, None, |guest| {
            let process = guest.process(METHOD, container, &ExecId::from(container))?;
            if process.is_started() {
                let what = format!("container {container} was started before");
                return Err(refused(METHOD, RpcCode::FailedPrecondition, &what));
            }
            process.start();
            Ok(())
        })
        .await
    }

    async fn remove_container(
        &self,
        container: &ContainerId,
        _timeout: Option<Duration>,
    ) -> Result<(), AgentError> {
        const METHOD: Method = Method::RemoveContainer;
        self.act(METHOD, container, None, |guest| {
            guest.container(METHOD, container)?;
            guest.containers.remove(container);
            Ok(())
        })
        .await
    }

    async fn pause_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::PauseContainer;
        self.act(METHOD, container, None, |guest| set_paused(guest, METHOD, container, true)).await
    }

    async fn resume_container(&self, container: &ContainerId) -> Result<(), AgentError> {
        const METHOD: Method = Method::ResumeContainer;
        self.act(METHOD, container, None, |guest| set_paused(guest, METHOD, container, false)).await
    }

    async fn exec_process(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        process: ProcessSpec,
    ) -> Result<(), AgentError> {
        let act = |guest: &mut Guest| guest.exec(container, exec, &process);
        self.act(Method::ExecProcess, container, Some(exec), act).await
    }

    async fn wait_process(&self, container: &ContainerId, exec: &ExecId) -> Result<i32, AgentError> {
        const METHOD: Method = Method::WaitProcess;
        self.enter(METHOD, Some(container), Some(exec)).await?;
        let mut changes = self.guest.subscribe();
        let ended = |guest: &Guest| guest.find(container, exec).is_none_or(|process| process.code.is_some());
        if changes.wait_for(ended).await.is_err() {
            return Err(AgentError::Disconnected { method: METHOD.name() });
        }
        let code = self.guest.borrow().find(container, exec).and_then(|process| process.code);
        code.ok_or_else(|| refused(METHOD, RpcCode::NotFound, &format!("no process {exec}")))
    }

    async fn signal_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), AgentError> {
        let act = |guest: &mut Guest| guest.signal(container, exec, signal);
        self.act(Method::SignalProcess, container, exec, act).await
    }

    async fn resize_terminal(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        size: TerminalSize,
    ) -> Result<(), AgentError> {
        const METHOD: Method = Method::ResizeTerminal;
        let act =
            |guest: &mut Guest| guest.process(METHOD, container, exec).map(|process| process.resize(size));
        self.act(METHOD, container, Some(exec), act).await
    }

    async fn read_stdout(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        self.read(Method::ReadStdout, OutputStream::Stdout, (container, exec), max).await
    }

    async fn read_stderr(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        max: u32,
    ) -> Result<Vec<u8>, AgentError> {
        self.read(Method::ReadStderr, OutputStream::Stderr, (container, exec), max).await
    }

    async fn write_stdin(
        &self,
        container: &ContainerId,
        exec: &ExecId,
        data: &[u8],
    ) -> Result<usize, AgentError> {
        const METHOD: Method = Method::WriteStdin;
        self.act(METHOD, container, Some(exec), |guest| {
            if guest.process(METHOD, container, exec)?.write(data) {
                return Ok(data.len());
            }
            Err(refused(METHOD, RpcCode::FailedPrecondition, &format!("process {exec} does not read")))
        })
        .await
    }

    async fn close_stdin(&self, container: &ContainerId, exec: &ExecId) -> Result<(), AgentError> {
        const METHOD: Method = Method::CloseStdin;
        self.act(METHOD, container, Some(exec), |guest| {
            guest.process(METHOD, container, exec)?.close_stdin();
            Ok(())
        })
        .await
    }

    async fn update_container(
        &self,
        container: &ContainerId,
        resources: LinuxResources,
    ) -> Result<(), AgentError> {
        const METHOD: Method = Method::UpdateContainer;
        let act = |guest: &mut Guest| {
            guest.container(METHOD, container)?.resources = Some(resources);
            Ok(())
        };
        self.act(METHOD, container, None, act).await
    }

    async fn stats_container(&self, container: &ContainerId) -> Result<ContainerStats, AgentError> {
        self.act(Method::StatsContainer, container, None, |guest| guest.stats(container)).await
    }

    async fn list_processes(&self, container: &ContainerId) -> Result<Vec<GuestProcess>, AgentError> {
        self.act(Method::ListProcesses, container, None, |guest| guest.processes(container)).await
    }

    async fn oom_event(&self) -> Result<ContainerId, AgentError> {
        const METHOD: Method = Method::OomEvent;
        self.enter(METHOD, None, None).await?;
        let mut changes = self.guest.subscribe();
        loop {
            if changes.wait_for(|guest| !guest.guest_wide.ooms.is_empty()).await.is_err() {
                return Err(AgentError::Disconnected { method: METHOD.name() });
            }
            if let Some(id) = self.change(METHOD, |guest| Ok(guest.guest_wide.ooms.pop_front()))? {
                return Ok(id); // else another one was first
            }
        }
    }

    async fn copy_file(&self, chunk: FileChunk) -> Result<(), AgentError> {
        self.wide(Method::CopyFile, |guest| guest.take_file(chunk)).await
    }

    async fn update_ephemeral_mounts(&self, storages: Vec<Storage>) -> Result<(), AgentError> {
        self.wide(Method::UpdateEphemeralMounts, |guest| guest.note(|told| told.mounts = storages)).await
    }

    async fn reseed_random(&self, data: Vec<u8>) -> Result<(), AgentError> {
        self.wide(Method::ReseedRandom, |guest| guest.note(|told| told.random.push(data))).await
    }

    async fn set_time(&self, since_epoch: Duration) -> Result<(), AgentError> {
        self.wide(Method::SetTime, |guest| guest.note(|told| told.time = Some(since_epoch))).await
    }

    async fn online_cpu_mem(&self, plugged: OnlineCpuMem) -> Result<(), AgentError> {
        self.wide(Method::OnlineCpuMem, |guest| guest.note(|told| told.online.push(plugged))).await
    }

    async fn mem_hotplug_by_probe(&self, addresses: Vec<u64>) -> Result<(), AgentError> {
        self.wide(Method::MemHotplugByProbe, |guest| guest.note(|told| told.probed.extend(addresses))).await
    }

    async fn metrics(&self) -> Result<String, AgentError> {
        self.wide(Method::Metrics, |guest| Ok(guest.metrics.clone())).await
    }

    async fn volume_stats(&self, path: &str) -> Result<VolumeStats, AgentError> {
        self.wide(Method::VolumeStats, |guest| guest.volume(path)).await
    }

    async fn add_swap(&self, pci_path: &[u32]) -> Result<(), AgentError> {
        let slots: Vec<_> = pci_path.iter().map(|slot| format!("{slot:02x}")).collect();
        self.wide(Method::AddSwap, |guest| guest.note(|told| told.swaps.push(slots.join("/")))).await
    }

    async fn add_swap_path(&self, path: &str) -> Result<(), AgentError> {
        self.wide(Method::AddSwapPath, |guest| guest.note(|told| told.swaps.push(path.to_owned()))).await
    }

    async fn diagnostic_data(
        &self,
        log_type: &str,
        container: Option<&ContainerId>,
    ) -> Result<String, AgentError> {
        self.enter(Method::DiagnosticData, container, None).await?;
        self.change(Method::DiagnosticData, |guest| guest.guest_wide.diagnostic(log_type))
    }

    async fn guest_details(&self) -> Result<GuestDetails, AgentError> {
        self.wide(Method::GuestDetails, |guest| Ok(guest.details.clone())).await
    }

    async fn update_interface(&self, interface: Interface) -> Result<Interface, AgentError> {
        self.wide(Method::UpdateInterface, |guest| guest.network.update_interface(interface)).await
    }

    async fn list_interfaces(&self) -> Result<Vec<Interface>, AgentError> {
        self.wide(Method::ListInterfaces, |guest| Ok(guest.network.told.interfaces.clone())).await
    }

    async fn update_routes(&self, routes: Vec<Route>) -> Result<Vec<Route>, AgentError> {
        self.wide(Method::UpdateRoutes, |guest| guest.network.update_routes(routes)).await
    }

    async fn list_routes(&self) -> Result<Vec<Route>, AgentError> {
        self.wide(Method::ListRoutes, |guest| Ok(guest.network.told.routes.clone())).await
    }

    async fn add_arp_neighbors(&self, neighbors: Vec<Neighbor>) -> Result<(), AgentError> {
        self.wide(Method::AddArpNeighbors, |guest| guest.network.add_neighbors(neighbors)).await
    }
}
