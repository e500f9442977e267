//! What validation makes: configurations that are known to be good, and cannot be changed any more.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use virtcontainers_types::{ContainerId, SandboxId, VcpuCount};

use super::{ConfigError, ContainerConfig, Problem, SandboxConfig, Violation};

/// A sandbox that can be built. Made by [`SandboxConfig::validate`] only.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    id: SandboxId,
    vcpus: VcpuCount,
    config: SandboxConfig,
    containers: Vec<ContainerPlan>,
}

impl SandboxSpec {
    pub(super) fn assemble(
        mut config: SandboxConfig,
        id: Option<SandboxId>,
        ids: Vec<Option<ContainerId>>,
        violations: Vec<Violation>,
    ) -> Result<Self, ConfigError> {
        ConfigError::unless_empty(violations)?;
        let vcpus = VcpuCount::new(config.hypervisor_config.num_vcpus)
            .map_err(|e| ConfigError::one("num_vcpus", e.into()))?;
        let id = id.ok_or_else(|| ConfigError::one("id", Problem::Missing("name the sandbox")))?;
        let configs = std::mem::take(&mut config.containers);
        let plan = |(config, id)| ContainerPlan::assemble(config, id, Vec::new());
        let containers = configs.into_iter().zip(ids).map(plan).collect::<Result<_, _>>()?;
        Ok(Self { id, vcpus, config, containers })
    }

    /// The sandbox's id.
    #[must_use]
    pub const fn id(&self) -> &SandboxId {
        &self.id
    }

    /// vCPUs at boot.
    #[must_use]
    pub const fn vcpus(&self) -> VcpuCount {
        self.vcpus
    }

    /// The most vCPUs.
    #[must_use]
    pub fn max_vcpus(&self) -> VcpuCount {
        VcpuCount::new(self.config.hypervisor_config.default_max_vcpus).unwrap_or(self.vcpus)
    }

    /// The hostname in force.
    #[must_use]
    pub fn hostname(&self) -> &str {
        match self.config.hostname.as_str() {
            "" => self.id.as_str().get(..64).unwrap_or(self.id.as_str()),
            given => given,
        }
    }

    /// The configuration, but for its containers.
    #[must_use]
    pub const fn config(&self) -> &SandboxConfig {
        &self.config
    }

    /// The containers, in the order in which they start.
    #[must_use]
    pub fn containers(&self) -> &[ContainerPlan] {
        &self.containers
    }
}

/// A container that can be built. Made by [`ContainerConfig::validate`] only.
#[derive(Debug, Clone)]
pub struct ContainerPlan {
    id: ContainerId,
    rootfs: PathBuf,
    config: ContainerConfig,
}

impl ContainerPlan {
    pub(super) fn assemble(
        config: ContainerConfig,
        id: Option<ContainerId>,
        violations: Vec<Violation>,
    ) -> Result<Self, ConfigError> {
        ConfigError::unless_empty(violations)?;
        let id = id.ok_or_else(|| ConfigError::one("id", Problem::Missing("name the container")))?;
        let given = &config.root_fs.target;
        let of_spec =
            config.custom_spec.as_ref().and_then(|spec| spec.root().as_ref()).map(|root| root.path());
        let rootfs = match of_spec {
            Some(path) if given.as_os_str().is_empty() => path.clone(),
            Some(_) | None => given.clone(),
        };
        Ok(Self { id, rootfs, config })
    }

    /// The container's id.
    #[must_use]
    pub const fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The directory of its root filesystem, on the host.
    #[must_use]
    pub fn rootfs(&self) -> &Path {
        &self.rootfs
    }

    /// Its limits, wherever they are written.
    #[must_use]
    pub fn limits(&self) -> Option<&LinuxResources> {
        let of_spec = || self.config.custom_spec.as_ref()?.linux().as_ref()?.resources().as_ref();
        self.config.resources.as_ref().or_else(of_spec)
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &ContainerConfig {
        &self.config
    }
}
