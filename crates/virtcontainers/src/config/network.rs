//! Networking of a sandbox. Not built yet: only a sandbox without a network is accepted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::NetInterworkingModel;

use super::is_default;

/// The network of a sandbox (the reference document's `NetworkConfig`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The network namespace to join; none for a sandbox without a network. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub netns_path: Option<PathBuf>,
    /// The namespace was made for this sandbox and ends with it. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub netns_created: bool,
    /// Stay in the caller's network namespace. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub disable_new_netns: bool,
    /// The network monitor. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub netmon: NetmonConfig,
    /// How an interface is joined to the machine. Anything but the default and `none` is not built.
    #[serde(skip_serializing_if = "is_default")]
    pub interworking_model: NetInterworkingModel,
}

/// The process that watches a network namespace (the reference document's `NetmonConfig`). Not built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetmonConfig {
    /// Its program.
    #[serde(skip_serializing_if = "is_default")]
    pub path: Option<PathBuf>,
    /// More of its log.
    #[serde(skip_serializing_if = "is_default")]
    pub debug: bool,
    /// Whether to start it.
    #[serde(skip_serializing_if = "is_default")]
    pub enable: bool,
}
