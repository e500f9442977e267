//! What a caller asks for: the raw forms of the reference document's configuration types, and their validation.
//!
//! A raw form is plain data: every field public, `Default`, readable by serde with unknown keys refused. Validation
//! ([`SandboxConfig::validate`], [`ContainerConfig::validate`]) never changes it; it either makes a [`SandboxSpec`] or
//! [`ContainerPlan`], or names every [`Violation`] at once. A field whose feature is not built is refused when set.

mod agent;
mod check;
mod container;
mod hypervisor;
mod network;
mod resources;
mod sandbox;
mod spec;
mod violation;

pub use agent::{KataAgentConfig, ProxyConfig, Seconds, ShimConfig};
pub use check::HostFacts;
pub(crate) use check::{check_annotations, check_terminal_size, check_update};
pub use container::{Cmd, ContainerConfig, DeviceInfo, LinuxCapabilities, Mount, RootFs, Volume};
pub use hypervisor::{AssetHashes, BlockDeviceDriver, HypervisorConfig};
pub use network::{CniConfig, NetmonConfig, NetworkConfig};
pub use resources::ContainerResources;
pub(crate) use resources::merge;
pub use sandbox::SandboxConfig;
pub use spec::{ContainerPlan, SandboxSpec};
pub use violation::{ConfigError, Problem, Violation};
pub use virtcontainers_network::cni::PortMapping;

/// Whether a field says nothing, so that records and listings can do without it.
fn is_default<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}
