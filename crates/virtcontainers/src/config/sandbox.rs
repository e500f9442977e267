//! A sandbox as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{AgentKind, Bytes, HypervisorKind, MiB, ProxyKind, ShimKind};

use super::{
    ContainerConfig, HypervisorConfig, KataAgentConfig, NetworkConfig, ProxyConfig, ShimConfig, Volume,
    is_default,
};

/// A sandbox: one virtual machine and the containers to create in it (the reference document's `SandboxConfig`).
///
/// ```
/// use virtcontainers::{ContainerConfig, SandboxConfig};
/// let config = SandboxConfig {
///     id: "web".into(),
///     containers: vec![ContainerConfig::new("1", "/var/lib/container/bundle", ["/bin/sh"])],
///     ..SandboxConfig::default()
/// };
/// assert_eq!(config.hypervisor_config.memory_size.0, 1024);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// The sandbox's id, unique under the runtime's root directory.
    pub id: String,
    /// The guest's and its containers' hostname; the sandbox's id when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub hostname: String,
    /// Lines of the guest's resolv.conf, which its containers get a copy of unless they mount their own. Without any they
    /// have what their root filesystem has. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub dns: Vec<String>,
    /// The virtual machine monitor.
    pub hypervisor_type: HypervisorKind,
    /// The virtual machine.
    pub hypervisor_config: HypervisorConfig,
    /// The agent in the guest.
    pub agent_type: AgentKind,
    /// Settings of the agent.
    pub agent_config: KataAgentConfig,
    /// What stands between the host and the agent's stream.
    pub proxy_type: ProxyKind,
    /// Settings of the proxy.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_config: ProxyConfig,
    /// What stands on the host for a process in the guest: a process of its own that keeps its log and its exit code
    /// (`kata`), or nothing, with its streams in the caller's hands.
    pub shim_type: ShimKind,
    /// Settings of the shim.
    #[serde(skip_serializing_if = "is_default")]
    pub shim_config: ShimConfig,
    /// The network.
    #[serde(skip_serializing_if = "is_default")]
    pub network_config: NetworkConfig,
    /// Directories shared with the guest as a whole. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub volumes: Vec<Volume>,
    /// The containers to create with the sandbox, started in this order. More can be created later.
    #[serde(skip_serializing_if = "is_default")]
    pub containers: Vec<ContainerConfig>,
    /// The caller's own data, reported by status. Keys under `io.katacontainers.config.` would change this
    /// configuration; that is not built, so they are refused.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Size of each container's `/dev/shm`; 64 MiB when zero.
    #[serde(skip_serializing_if = "is_default")]
    pub shm_size: Bytes,
    /// All containers share one pid namespace: they see and can signal each other's processes.
    #[serde(skip_serializing_if = "is_default")]
    pub share_pid_ns: bool,
    /// Keep resources in memory between calls. Handles of this library always do, and release them when the last
    /// clone is dropped, so both values mean the same.
    #[serde(skip_serializing_if = "is_default")]
    pub stateful: bool,
    /// Name the host's control groups as systemd does; needs a host that systemd runs. The groups are made by this library
    /// at the place that systemd would choose, without asking it.
    #[serde(skip_serializing_if = "is_default")]
    pub systemd_cgroup: bool,
    /// Virtual machine and helpers together in the sandbox's control groups, with limits of memory as well. Otherwise the
    /// machine is in them, and its helpers and all memory are accounted for outside.
    #[serde(skip_serializing_if = "is_default")]
    pub sandbox_cgroup_only: bool,
    /// Containers may share the agent's pid namespace. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_agent_pid_ns: bool,
    /// Leave out the seccomp profile of a container's own OCI spec. `false` hands it to the agent.
    #[serde(skip_serializing_if = "is_default")]
    pub disable_guest_seccomp: bool,
    /// Names of experimental features. None exists.
    #[serde(skip_serializing_if = "is_default")]
    pub experimental: Vec<String>,
    /// Where the sandbox's control groups are on the host: a path of a group, from the top of each hierarchy or, without a
    /// slash at its start, from where the caller is; with `systemd_cgroup` `slice:prefix:name`, of which the name is not
    /// used. Each sandbox has groups of its own there. `virtcontainers`, from where the caller is, if none is given.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroups: Option<String>,
    /// With `sandbox_cgroup_only`, so much memory beyond the virtual machine's own may its processes use on the host; 0 for
    /// no limit. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub memory_overhead: MiB,
}
