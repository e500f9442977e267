//! Networking of a sandbox: which namespace, who fills it, and how its links reach the machine.

use std::{collections::BTreeMap, path::PathBuf};

use oci_spec::runtime::Hook;
use serde::{Deserialize, Serialize};
use virtcontainers_network::cni::PortMapping;
use virtcontainers_types::NetInterworkingModel;

use super::is_default;

/// The network of a sandbox (the reference document's `NetworkConfig`).
///
/// A sandbox has a network when a namespace is given (`netns_path`) or one is to be made for it: because
/// `netns_created` asks for it, or because `cni` or `prestart_hooks` are to fill it. Whatever is in the namespace then
/// appears in the guest. By default there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The network namespace to join. It is its maker's: a delete leaves it as it was found, unless `netns_created`.
    #[serde(skip_serializing_if = "is_default")]
    pub netns_path: Option<PathBuf>,
    /// The namespace was made for this sandbox and is removed with it. Without `netns_path`, the library makes it.
    #[serde(skip_serializing_if = "is_default")]
    pub netns_created: bool,
    /// Stay in the caller's network namespace. Only with the model `none`, for a host's own links are not given away.
    #[serde(skip_serializing_if = "is_default")]
    pub disable_new_netns: bool,
    /// The network monitor.
    #[serde(skip_serializing_if = "is_default")]
    pub netmon: NetmonConfig,
    /// How a link is joined to the machine; traffic control filters by default.
    #[serde(skip_serializing_if = "is_default")]
    pub interworking_model: NetInterworkingModel,
    /// A CNI network that is added to the namespace before it is looked at. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub cni: Option<CniConfig>,
    /// OCI hooks that are run in the namespace before it is looked at, with the sandbox's state on their standard
    /// input. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub prestart_hooks: Vec<Hook>,
    /// Where processes that serve virtio queues listen: the link with an address for which there is a socket
    /// `vhostuser_<address>/vhu.sock` in this directory stands for that process. Only trusted users may write there.
    /// None when not given. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub vhost_user_dir: Option<PathBuf>,
    /// Pairs of queues of each interface; one when zero. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub queues: u32,
}

/// The process that watches a sandbox's network namespace and keeps the guest in step with it (the reference document's
/// `NetmonConfig`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetmonConfig {
    /// Its program, called as `<program> netmon --root <root> <id>`. Without one, the runtime's helper program or
    /// `virtc`.
    #[serde(skip_serializing_if = "is_default")]
    pub path: Option<PathBuf>,
    /// More of its log. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub debug: bool,
    /// Whether to start it.
    #[serde(skip_serializing_if = "is_default")]
    pub enable: bool,
}

/// A CNI network to join (CNI specification 1.x).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CniConfig {
    /// The network's name, as a configuration list in `conf_dir` gives it.
    pub network: String,
    /// Where configuration lists are; `/etc/cni/net.d` when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub conf_dir: Option<PathBuf>,
    /// Where plugins are looked for, in this order; `/opt/cni/bin` and `/usr/lib/cni` when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub plugin_dirs: Vec<PathBuf>,
    /// The name of the interface; `eth0` when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub ifname: Option<String>,
    /// Ports of the host that lead to the sandbox: the capability `portMappings`.
    #[serde(skip_serializing_if = "is_default")]
    pub port_mappings: Vec<PortMapping>,
    /// The network namespace that is the host to the plugins: where they put bridges and published ports. The caller's
    /// own when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub host_netns: Option<PathBuf>,
    /// Further `CNI_ARGS`.
    #[serde(skip_serializing_if = "is_default")]
    pub args: BTreeMap<String, String>,
}

impl NetworkConfig {
    /// Whether the sandbox has a network namespace other than the caller's.
    #[must_use]
    pub fn has_namespace(&self) -> bool {
        self.netns_path.is_some()
            || self.netns_created
            || self.cni.is_some()
            || !self.prestart_hooks.is_empty()
    }
}
