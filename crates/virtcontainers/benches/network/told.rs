//! What the library starts and tells for a sandbox, written down so that it can be done by hand.
//!
//! The machine is a real one and boots; the agent that the library then speaks to is the mock, which remembers every word.

use std::{path::Path, sync::Arc};

use virtcontainers::{
    ContainerId, DeleteMode, Interface, Route, Runtime, SandboxConfig,
    agent::{Agent, ContainerSpec, GuestSandbox, mock::MockAgent},
};

use crate::{
    Failure,
    by_hand::{Recipe, marked},
    iperf::Client,
};

/// A sandbox's processes, and the words for its agent.
pub(crate) struct Told {
    pub(crate) recipe: Recipe,
    sandbox: GuestSandbox,
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
    container: ContainerSpec,
}

impl Told {
    /// Of this sandbox, whose first container is the one.
    pub(crate) async fn of(config: SandboxConfig, root: &Path, helper: &Path) -> Result<Self, Failure> {
        let agent = MockAgent::new();
        let (id, container) = (config.id.clone(), config.containers.first().map(|first| first.id.clone()));
        let container = ContainerId::new(container.ok_or("a container is wanted")?)?;
        let runtime = Runtime::builder()
            .root(root)
            .helper_program(helper)
            .connector(Arc::new(agent.clone()))
            .build()?;
        let sandbox = runtime.create_sandbox(config).await.map_err(|error| error.report().to_string())?;
        let network = agent.network();
        let told = Self {
            recipe: Recipe::of(&root.join("sandboxes").join(&id), &marked(root, &id)?)?,
            sandbox: agent.sandbox().ok_or("the agent was told of no sandbox")?,
            interfaces: network.interfaces,
            routes: network.routes,
            container: agent.container(&container).ok_or("the agent was told of no container")?,
        };
        sandbox.delete(DeleteMode::Force).await?;
        Ok(told)
    }

    /// Tells another agent the same.
    pub(crate) async fn tell(&self, agent: Arc<dyn Agent>) -> Result<Client, Failure> {
        agent.create_sandbox(self.sandbox.clone()).await?;
        for interface in &self.interfaces {
            agent.update_interface(interface.clone()).await?;
        }
        agent.update_routes(self.routes.clone()).await?;
        agent.create_container(self.container.clone()).await?;
        agent.start_container(&self.container.id).await?;
        self.client(agent)
    }

    /// The container as it runs with an agent that was told.
    pub(crate) fn client(&self, agent: Arc<dyn Agent>) -> Result<Client, Failure> {
        let process = self.container.spec.process().clone().ok_or("a container without a process")?;
        Ok(Client { agent, container: self.container.id.clone(), process })
    }
}
