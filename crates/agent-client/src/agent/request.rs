//! What is asked of an agent.

use oci_spec::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};
use virtcontainers_types::ContainerId;

/// What all containers of a guest share (CreateSandboxRequest).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestSandbox {
    /// The guest's hostname.
    pub hostname: String,
    /// Lines of the guest's resolv.conf.
    pub dns: Vec<String>,
    /// Storages to mount before any container.
    pub storages: Vec<Storage>,
    /// All containers share one pid namespace.
    pub shared_pid_namespace: bool,
    /// The sandbox's id.
    pub sandbox_id: String,
    /// Modules for the guest's kernel to load first.
    pub kernel_modules: Vec<KernelModule>,
    /// A directory of the guest that holds OCI hooks, in folders named after their kinds; empty for none.
    pub guest_hook_path: String,
}

/// A module for the guest's kernel to load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelModule {
    /// Its name.
    pub name: String,
    /// Its parameters, each `name=value`.
    pub parameters: Vec<String>,
}

/// Something for the agent to mount (the protocol's `Storage`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// The agent's storage driver, for example `virtio-fs` or `9p`.
    pub driver: String,
    /// Options of the driver.
    pub driver_options: Vec<String>,
    /// Device, tag or directory.
    pub source: String,
    /// Filesystem type.
    pub fstype: String,
    /// Mount options.
    pub options: Vec<String>,
    /// Where, in the guest.
    pub mount_point: String,
}

/// A container to create in the guest.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// The container; its first process carries the same id.
    pub id: ContainerId,
    /// The OCI spec with guest paths.
    pub spec: Spec,
    /// Storages to mount for it.
    pub storages: Vec<Storage>,
    /// Whether its standard input is to be writable; a terminal is chosen in the spec's process.
    pub stdin: bool,
    /// It joins the sandbox's pid namespace.
    pub shared_pid_namespace: bool,
}

/// A further process of a container.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The OCI process.
    pub process: Process,
    /// Whether its standard input is to be writable.
    pub stdin: bool,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
}

/// One piece of a file for the guest (CopyFileRequest). Pieces come in order, and the one that reaches `file_size`
/// completes the file: until then nothing stands at `path`. A directory or a symbolic link comes in one piece, the
/// link with its target as `data`. [`copy_file`](crate::copy_file) cuts a reader into pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChunk {
    /// Where, in the guest: below the directory that containers share, or the agent refuses it.
    pub path: String,
    /// The whole file's size in bytes.
    pub file_size: u64,
    /// Where in the file this piece begins.
    pub offset: u64,
    /// The piece; at most [`FileChunk::MAX`] bytes.
    pub data: Vec<u8>,
    /// Type and permissions, as in stat(2).
    pub file_mode: u32,
    /// Permissions of directories that are made on the way; 0 for the agent's own.
    pub dir_mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl FileChunk {
    /// The longest piece, in bytes.
    pub const MAX: usize = virtcontainers_agent_protocol::limits::MESSAGE_DATA;
}

/// Processors and memory to take into use after they were plugged in (OnlineCPUMemRequest).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnlineCpuMem {
    /// Answer only once all of them are in use.
    pub wait: bool,
    /// How many processors were plugged in.
    pub cpus: u32,
    /// Leave memory alone.
    pub cpu_only: bool,
}
