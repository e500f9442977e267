//! Every verb by id, for callers that keep no handles.

use oci_spec::runtime::LinuxResources;
use virtcontainers_types::{
    ContainerId, SandboxId,
    net::{Interface, Route},
    stats::{ContainerStats, SandboxStats},
};

use super::Runtime;
use crate::{
    config::{Cmd, ContainerConfig, SandboxConfig},
    container::Container,
    error::Error,
    process::Process,
    ps::{ProcessList, ProcessListOptions},
    sandbox::{DeleteMode, NetworkChanges, Sandbox, StopMode, create, list},
    signal::{KillScope, Signal},
    status::{ContainerStatus, SandboxStatus},
};

impl Runtime {
    /// Creates a sandbox: its virtual machine runs, its agent answers, its containers are created but not started.
    ///
    /// All or nothing: an error, a panic or a caller that does not wait for the end undoes every step.
    ///
    /// # Errors
    /// [`ErrorKind`](crate::ErrorKind) tells; an invalid configuration with all its violations.
    pub async fn create_sandbox(&self, config: SandboxConfig) -> Result<Sandbox, Error> {
        create::create(self, config).await
    }

    /// Creates a sandbox and starts it. When the start fails, the sandbox is deleted.
    ///
    /// # Errors
    /// As [`Runtime::create_sandbox`] and [`Sandbox::start`].
    pub async fn run_sandbox(&self, config: SandboxConfig) -> Result<Sandbox, Error> {
        create::run(self, config).await
    }

    /// Starts a sandbox: see [`Sandbox::start`].
    ///
    /// # Errors
    /// As there.
    pub async fn start_sandbox(&self, id: &SandboxId) -> Result<Sandbox, Error> {
        let sandbox = self.handle(id);
        sandbox.start().await.map(|()| sandbox)
    }

    /// Stops a sandbox: see [`Sandbox::stop`].
    ///
    /// # Errors
    /// As there.
    pub async fn stop_sandbox(&self, id: &SandboxId, mode: StopMode) -> Result<Sandbox, Error> {
        let sandbox = self.handle(id);
        sandbox.stop(mode).await.map(|()| sandbox)
    }

    /// Pauses a sandbox: see [`Sandbox::pause`].
    ///
    /// # Errors
    /// As there.
    pub async fn pause_sandbox(&self, id: &SandboxId) -> Result<Sandbox, Error> {
        let sandbox = self.handle(id);
        sandbox.pause().await.map(|()| sandbox)
    }

    /// Resumes a sandbox: see [`Sandbox::resume`].
    ///
    /// # Errors
    /// As there.
    pub async fn resume_sandbox(&self, id: &SandboxId) -> Result<Sandbox, Error> {
        let sandbox = self.handle(id);
        sandbox.resume().await.map(|()| sandbox)
    }

    /// Deletes a sandbox: see [`Sandbox::delete`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete_sandbox(&self, id: &SandboxId, mode: DeleteMode) -> Result<(), Error> {
        self.handle(id).delete(mode).await
    }

    /// The handle of a sandbox that exists. Nothing is connected before a verb needs it.
    ///
    /// # Errors
    /// When there is no such sandbox, or its record cannot be read.
    pub async fn fetch_sandbox(&self, id: &SandboxId) -> Result<Sandbox, Error> {
        let sandbox = self.handle(id);
        sandbox.load()?;
        Ok(sandbox)
    }

    /// The status of a sandbox: see [`Sandbox::status`].
    ///
    /// # Errors
    /// As there.
    pub async fn sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        self.handle(id).status().await
    }

    /// The status of every sandbox, by name. One that cannot be read is there with the reason, never left out. Waits
    /// for no other verb.
    ///
    /// # Errors
    /// Only when there is no listing at all.
    pub async fn list_sandboxes(&self) -> Result<Vec<(String, Result<SandboxStatus, Error>)>, Error> {
        list::list(self)
    }

    /// Creates a container: see [`Sandbox::create_container`].
    ///
    /// # Errors
    /// As there.
    pub async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: ContainerConfig,
    ) -> Result<Container, Error> {
        self.handle(sandbox).create_container(config).await
    }

    /// Starts a container: see [`Container::start`].
    ///
    /// # Errors
    /// As there.
    pub async fn start_container(&self, sandbox: &SandboxId, id: &ContainerId) -> Result<Container, Error> {
        let container = self.handle(sandbox).container(id);
        container.start().await.map(|()| container)
    }

    /// Stops a container: see [`Container::stop`].
    ///
    /// # Errors
    /// As there.
    pub async fn stop_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        mode: StopMode,
    ) -> Result<Container, Error> {
        let container = self.handle(sandbox).container(id);
        container.stop(mode).await.map(|()| container)
    }

    /// Signals a container: see [`Container::kill`].
    ///
    /// # Errors
    /// As there.
    pub async fn kill_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        signal: Signal,
        scope: KillScope,
    ) -> Result<(), Error> {
        self.handle(sandbox).container(id).kill(signal, scope).await
    }

    /// Deletes a container: see [`Container::delete`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        mode: DeleteMode,
    ) -> Result<(), Error> {
        self.handle(sandbox).container(id).delete(mode).await
    }

    /// The status of a container: see [`Container::status`].
    ///
    /// # Errors
    /// As there.
    pub async fn container_status(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        self.handle(sandbox).container(id).status().await
    }

    /// Pauses a container: see [`Container::pause`].
    ///
    /// # Errors
    /// As there.
    pub async fn pause_container(&self, sandbox: &SandboxId, id: &ContainerId) -> Result<Container, Error> {
        let container = self.handle(sandbox).container(id);
        container.pause().await.map(|()| container)
    }

    /// Resumes a container: see [`Container::resume`].
    ///
    /// # Errors
    /// As there.
    pub async fn resume_container(&self, sandbox: &SandboxId, id: &ContainerId) -> Result<Container, Error> {
        let container = self.handle(sandbox).container(id);
        container.resume().await.map(|()| container)
    }

    /// Runs a further process in a container (the reference document's `EnterContainer`): see [`Container::exec`].
    ///
    /// # Errors
    /// As there.
    pub async fn enter_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        cmd: Cmd,
    ) -> Result<Process, Error> {
        self.handle(sandbox).container(id).exec(cmd).await
    }

    /// Stops and deletes a container, and with the last one the sandbox: see [`Container::clean_up`].
    ///
    /// # Errors
    /// As there.
    pub async fn cleanup_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        mode: StopMode,
    ) -> Result<(), Error> {
        self.handle(sandbox).container(id).clean_up(mode).await
    }

    /// Changes a container's limits: see [`Container::update`].
    ///
    /// # Errors
    /// As there.
    pub async fn update_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        resources: impl Into<LinuxResources> + Send,
    ) -> Result<(), Error> {
        self.handle(sandbox).container(id).update(resources).await
    }

    /// What a container uses: see [`Container::stats`].
    ///
    /// # Errors
    /// As there.
    pub async fn stats_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
    ) -> Result<ContainerStats, Error> {
        self.handle(sandbox).container(id).stats().await
    }

    /// What a sandbox and its containers use: see [`Sandbox::stats`].
    ///
    /// # Errors
    /// As there.
    pub async fn stats_sandbox(
        &self,
        id: &SandboxId,
    ) -> Result<(SandboxStats, Vec<(ContainerId, ContainerStats)>), Error> {
        self.handle(id).stats().await
    }

    /// Lists a container's processes: see [`Container::processes`].
    ///
    /// # Errors
    /// As there.
    pub async fn process_list_container(
        &self,
        sandbox: &SandboxId,
        id: &ContainerId,
        options: ProcessListOptions,
    ) -> Result<ProcessList, Error> {
        self.handle(sandbox).container(id).processes(options).await
    }

    /// Waits for a container's command to end: see [`Container::wait`].
    ///
    /// # Errors
    /// As there.
    pub async fn wait_container(&self, sandbox: &SandboxId, id: &ContainerId) -> Result<i32, Error> {
        self.handle(sandbox).container(id).wait().await
    }

    /// Plugs an interface into a sandbox that runs: see [`Sandbox::add_interface`].
    ///
    /// # Errors
    /// As there.
    pub async fn add_interface(&self, id: &SandboxId, interface: Interface) -> Result<Interface, Error> {
        self.handle(id).add_interface(interface).await
    }

    /// Unplugs an interface of a sandbox that runs: see [`Sandbox::remove_interface`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove_interface(&self, id: &SandboxId, name: &str) -> Result<(), Error> {
        self.handle(id).remove_interface(name).await
    }

    /// The interfaces of a sandbox's guest: see [`Sandbox::list_interfaces`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_interfaces(&self, id: &SandboxId) -> Result<Vec<Interface>, Error> {
        self.handle(id).list_interfaces().await
    }

    /// Sets the routes of a sandbox's guest: see [`Sandbox::update_routes`].
    ///
    /// # Errors
    /// As there.
    pub async fn update_routes(&self, id: &SandboxId, routes: Vec<Route>) -> Result<Vec<Route>, Error> {
        self.handle(id).update_routes(routes).await
    }

    /// The routes of a sandbox's guest: see [`Sandbox::list_routes`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_routes(&self, id: &SandboxId) -> Result<Vec<Route>, Error> {
        self.handle(id).list_routes().await
    }

    /// Brings a sandbox's guest in step with its network namespace: see [`Sandbox::sync_network`].
    ///
    /// # Errors
    /// As there.
    pub async fn sync_network(&self, id: &SandboxId) -> Result<NetworkChanges, Error> {
        self.handle(id).sync_network().await
    }
}
