//! What a virtual machine is to be: plain data, complete, independent of any VMM.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{KernelParam, MachineType, MiB, SandboxId, VcpuCount};

use crate::{accelerator::Accelerator, nic::Nic};

/// A virtual machine, described whole. Drivers read it and refuse what they cannot build ([`crate::InvalidSpec`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSpec {
    /// The sandbox that the machine serves; the VMM's process name carries it.
    pub id: SandboxId,
    /// The sandbox's directory: the VMM's working directory, where its sockets live.
    pub dir: PathBuf,
    /// The VMM's executable.
    pub program: PathBuf,
    /// The machine type.
    pub machine: MachineType,
    /// Extra machine options, as QEMU's `-machine` takes them (the reference document's `MachineAccelerators`).
    pub machine_options: Option<String>,
    /// What runs the guest's instructions, already decided.
    pub accelerator: Accelerator,
    /// The rate of the host's time stamp counter in kHz, where it has one of a constant rate. Under TCG an x86 guest sees
    /// the host's counter, and a `microvm` guest has nothing else to measure it against.
    pub tsc_khz: Option<u64>,
    /// Extra CPU features, as QEMU's `-cpu` takes them (the reference document's `CPUFeatures`).
    pub cpu_features: Option<String>,
    /// vCPUs at boot.
    pub vcpus: VcpuCount,
    /// The most vCPUs that may be plugged; at least `vcpus`.
    pub max_vcpus: VcpuCount,
    /// Memory size and backing.
    pub memory: Memory,
    /// Kernel, root and parameters.
    pub boot: Boot,
    /// The device that carries the agent's stream.
    pub channel: AgentChannel,
    /// Shared directories.
    pub shares: Vec<Share>,
    /// Network interfaces.
    pub nics: Vec<Nic>,
    /// How many devices may be plugged while the guest runs, beside those of the launch. A machine that can take none
    /// has none of these slots, whatever is asked: its [`crate::Vm::hotplug`] says so.
    pub hotplug_slots: u32,
    /// Host source of entropy for a virtio-rng device.
    pub entropy: Option<PathBuf>,
    /// Confine the VMM's system calls (QEMU `-sandbox on`).
    pub seccomp: bool,
    /// More output from VMM and kernel.
    pub debug: bool,
    /// Further VMM parameters, appended as they are (the reference document's `HypervisorParams`).
    pub extra_params: Vec<KernelParam>,
}

/// Guest memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its size.
    pub size: MiB,
    /// Shared with vhost-user processes (virtiofsd, the vsock daemon), which map it.
    pub shared: bool,
    /// Allocated before the guest runs (the reference document's `MemPrealloc`).
    pub prealloc: bool,
    /// A file or directory that backs it, instead of anonymous memory.
    pub path: Option<PathBuf>,
}

/// How the guest boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The kernel.
    pub kernel: PathBuf,
    /// The first root.
    pub root: RootImage,
    /// Firmware instead of the VMM's own.
    pub firmware: Option<PathBuf>,
    /// Kernel parameters after the driver's own.
    pub params: Vec<KernelParam>,
}

/// The guest's first root: exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootImage {
    /// An initrd.
    Initrd(PathBuf),
    /// A disk image, read-only.
    Image(PathBuf),
}

/// The device that carries the agent's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentChannel {
    /// No agent.
    None,
    /// The kernel's vhost-vsock with this context id.
    Vsock {
        /// The guest's context id, 3 or more, unique on the host.
        cid: u32,
    },
    /// A vhost-user vsock daemon that listens on this socket (a name in the sandbox's directory).
    VhostUserVsock {
        /// The daemon's vhost-user socket.
        socket: String,
    },
    /// A virtio-serial port named `agent.channel.0` behind a socket (a name in the sandbox's directory).
    VirtioSerial {
        /// The socket on which the VMM offers the port.
        socket: String,
    },
}

/// A directory of the host that the guest mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// virtio-fs, served by a daemon that listens on this socket (a name in the sandbox's directory).
    VirtioFs {
        /// The mount tag.
        tag: String,
        /// The daemon's vhost-user socket.
        socket: String,
        /// DAX window; zero for none.
        cache: MiB,
    },
    /// 9p, served by the VMM.
    NineP {
        /// The mount tag.
        tag: String,
        /// The directory.
        path: PathBuf,
    },
}
