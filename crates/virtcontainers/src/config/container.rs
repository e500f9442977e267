//! One container: its root, its command, its mounts.

use std::{collections::BTreeMap, path::PathBuf};

use oci_spec::runtime::{LinuxResources, Spec};
use serde::{Deserialize, Serialize};
use virtcontainers_agent_client::TerminalSize;
use virtcontainers_types::{EnvVar, ShimKind};

use super::is_default;

pub use oci_spec::runtime::LinuxCapabilities;

/// A container (the reference document's `ContainerConfig`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerConfig {
    /// The container's id, unique within its sandbox.
    pub id: String,
    /// Its root filesystem.
    pub root_fs: RootFs,
    /// The root filesystem cannot be written.
    #[serde(skip_serializing_if = "is_default")]
    pub readonly_rootfs: bool,
    /// Its command.
    pub cmd: Cmd,
    /// The caller's own data, reported by status.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Mounts beside the default ones.
    #[serde(skip_serializing_if = "is_default")]
    pub mounts: Vec<Mount>,
    /// Host devices. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub device_infos: Vec<DeviceInfo>,
    /// Limits within the guest (OCI `linux.resources`), applied by the agent.
    #[serde(skip_serializing_if = "is_default")]
    pub resources: Option<LinuxResources>,
    /// A whole OCI spec with host paths, in place of the one made from the fields above. Never written to disk.
    #[serde(skip)]
    pub custom_spec: Option<Spec>,
}

impl ContainerConfig {
    /// A container that runs `args` on the root filesystem in directory `rootfs`.
    pub fn new<A: Into<String>>(
        id: impl Into<String>,
        rootfs: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self { id: id.into(), root_fs: RootFs::directory(rootfs), cmd: Cmd::new(args), ..Self::default() }
    }
}

/// The root filesystem of a container, on the host (the reference document's `RootFs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RootFs {
    /// A block device or filesystem source that is to be mounted. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub source: Option<PathBuf>,
    /// The directory where the root filesystem is.
    pub target: PathBuf,
    /// Filesystem type of `source`. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub fs_type: Option<String>,
    /// Mount options of `source`. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Vec<String>,
    /// Whether `target` is ready to use. `false` asks the library to mount `source`, which is not built.
    pub mounted: bool,
}

impl RootFs {
    /// A directory that holds the root filesystem, mounted or plain.
    pub fn directory(target: impl Into<PathBuf>) -> Self {
        Self { target: target.into(), ..Self::default() }
    }
}

impl Default for RootFs {
    fn default() -> Self {
        Self { source: None, target: PathBuf::new(), fs_type: None, options: Vec::new(), mounted: true }
    }
}

/// A process to run in a container (the reference document's `Cmd`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cmd {
    /// The program and its arguments. A program without a slash is looked up in the container's `PATH`.
    pub args: Vec<String>,
    /// Further groups, by number or by name in the container's `/etc/group`.
    #[serde(skip_serializing_if = "is_default")]
    pub supplementary_groups: Vec<String>,
    /// Environment. `PATH`, `HOME` and, with a terminal, `TERM` are added when missing.
    #[serde(skip_serializing_if = "is_default")]
    pub envs: Vec<EnvVar>,
    /// User: a number, a name in the container's `/etc/passwd`, or `user:group` of those. Root when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
    /// Group: a number, or a name in the container's `/etc/group`; the user's own when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub primary_group: String,
    /// Working directory in the container; `/` when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub work_dir: PathBuf,
    /// A host terminal to connect. Not built: read and write the process's streams instead.
    #[serde(skip_serializing_if = "is_default")]
    pub console: Option<PathBuf>,
    /// Capabilities in place of the default ones.
    #[serde(skip_serializing_if = "is_default")]
    pub capabilities: Option<LinuxCapabilities>,
    /// The process gets a terminal.
    #[serde(skip_serializing_if = "is_default")]
    pub interactive: bool,
    /// The terminal's size at the start; with `interactive` only. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub terminal_size: Option<TerminalSize>,
    /// Standard input can be written; otherwise it is empty. (Beyond the reference document, where it always can.)
    #[serde(skip_serializing_if = "is_default")]
    pub stdin: bool,
    /// Nobody attends to the process but its shim, if it has one. Without a shim there is no `stdin`, and the output
    /// waits in the guest until somebody reads it.
    #[serde(skip_serializing_if = "is_default")]
    pub detach: bool,
    /// What stands on the host for the process, in place of the sandbox's `shim_type`. A process beside the container's
    /// first one gets a shim of its own only with `detach`. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub shim: Option<ShimKind>,
    /// The process cannot gain privileges (`no_new_privs`).
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
}

impl Cmd {
    /// A command from its words.
    pub fn new<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Self {
        Self { args: args.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// A mount of a container (the reference document's `Mount`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mount {
    /// For a bind mount a path on the host, else what the filesystem type expects.
    pub source: PathBuf,
    /// Where, in the container: an absolute path.
    pub destination: PathBuf,
    /// `bind`, `tmpfs` or another filesystem of the guest's kernel; `bind` when empty.
    #[serde(skip_serializing_if = "is_default")]
    pub fs_type: String,
    /// Mount options.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Vec<String>,
    /// Where the library has bound it on the host. Set by the library, refused in a configuration.
    #[serde(skip_serializing_if = "is_default")]
    pub host_path: Option<PathBuf>,
    /// The mount cannot be written.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// The block device that carries it. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub block_device_id: Option<String>,
}

impl Mount {
    /// A bind mount of a path on the host.
    pub fn bind(source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), destination: destination.into(), ..Self::default() }
    }

    /// Whether it is a bind mount.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        matches!(self.fs_type.as_str(), "" | "bind")
    }
}

/// A directory shared with the whole guest (the reference document's `Volume`). Not built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Volume {
    /// The tag by which the guest mounts it.
    pub mount_tag: String,
    /// The directory on the host.
    pub host_path: PathBuf,
}

/// A host device for a container (the reference document's `config.DeviceInfo`). Not built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceInfo {
    /// Its path on the host.
    pub host_path: PathBuf,
    /// Its path in the container.
    pub container_path: PathBuf,
    /// `c`, `b`, `u` or `p`, as OCI has it.
    pub dev_type: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits.
    pub file_mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device is persistent memory.
    pub pmem: bool,
    /// The device is there at boot.
    pub cold_plug: bool,
    /// Options of the driver.
    pub driver_options: BTreeMap<String, String>,
}
