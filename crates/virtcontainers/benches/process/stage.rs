//! The sandbox in which everything is measured, and the agent in it, reached without the library as well.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use virtcontainers::{
    Container, ContainerConfig, ContainerId, DeleteMode, Mount, Runtime, Sandbox, SandboxConfig, Transport,
    agent::{Agent, AgentConnector as _, KataConnector},
};
use virtcontainers_agent_protocol::{ports, transport::AgentAddress};

use crate::{Failure, options::Options};

/// The sandbox.
const SANDBOX: &str = "bench";
/// Where the guest finds the program that fills a vsock port.
pub(crate) const RAW_STREAM: &str = "/raw-stream";

/// One sandbox with one container that sleeps.
pub(crate) struct Stage {
    sandbox: Sandbox,
    pub(crate) container: Container,
    /// Its agent over a connection of its own.
    pub(crate) agent: Arc<dyn Agent>,
    /// The sandbox's directory.
    pub(crate) dir: PathBuf,
    rootfs: PathBuf,
}

impl Stage {
    pub(crate) async fn set(options: &Options, root: &Path) -> Result<Self, Failure> {
        let runtime = Runtime::builder().root(root).helper_program(&options.helper).build()?;
        let mut config = SandboxConfig { id: SANDBOX.into(), ..SandboxConfig::default() };
        let machine = &mut config.hypervisor_config;
        machine.kernel_path = options.guest.join("vmlinux");
        machine.initrd_path = Some(options.guest.join("initrd.img"));
        machine.hypervisor_machine_type = options.machine;
        machine.transport = options.transport;
        machine.shared_fs = options.shared_fs;
        machine.virtio_fs_cache.clone_from(&options.cache);
        let mut container = ContainerConfig::new("first", &options.rootfs, ["sleep", "1000000"]);
        if let Some(program) = &options.raw_stream {
            container.mounts.push(Mount::bind(program.canonicalize()?, RAW_STREAM));
        }
        config.containers.push(container);
        config.agent_config.long_live_conn = true;
        let sandbox = runtime.run_sandbox(config).await.map_err(|error| error.report().to_string())?;
        let dir = root.join("sandboxes").join(SANDBOX);
        let address = match options.transport {
            Transport::VirtioSerial => AgentAddress::Unix { dir: dir.clone(), name: "proxy.sock".into() },
            Transport::Auto | Transport::Vsock | Transport::HybridVsock => {
                AgentAddress::HybridVsock { dir: dir.clone(), name: "vsock.sock".into(), port: ports::AGENT }
            }
        };
        let agent = KataConnector::default().connect(&address).await?;
        let container = sandbox.container(&ContainerId::new("first")?);
        Ok(Self { sandbox, container, agent, dir, rootfs: options.rootfs.clone() })
    }

    /// A further container that sleeps.
    pub(crate) fn further(&self, id: &str) -> ContainerConfig {
        ContainerConfig::new(id, &self.rootfs, ["sleep", "1000000"])
    }

    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) async fn strike(self) -> Result<(), Failure> {
        Ok(self.sandbox.delete(DeleteMode::Force).await?)
    }
}
