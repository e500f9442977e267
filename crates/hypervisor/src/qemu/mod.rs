//! QEMU.
//!
//! - `plan` turns a spec into an argument list; each concern of it is a file of `args`.
//! - `launch` binds the sockets, starts the process and lets the guest go; `reattach` takes over a running one.
//! - `slots` says where on the guest's bus a network interface is, `hotplug` plugs and unplugs it.
//! - `machine` is the machine that both hand out; `qmp` is how it is spoken to.
//!
//! A QEMU monitor serves one client at a time, so every machine has two: `qmp.sock` belongs to the process that launched
//! it, for as long as it lives, and brings the events; `control.sock` is for everybody else and is held only while one
//! command runs. So a second process can stop a sandbox whose creator still holds on to it.

mod args;
mod hotplug;
mod launch;
mod machine;
mod plan;
mod qmp;
mod reattach;
mod slots;

use async_trait::async_trait;
use virtcontainers_types::{HypervisorKind, MachineType};

use crate::{
    error::VmError,
    plan::{LaunchCx, LaunchPlan},
    spec::VmSpec,
    vm::{Hypervisor, Vm, VmRecord},
};

pub use slots::cold_nic_path;
pub(crate) use slots::{planned_nics, plug_slots};

/// The launcher's monitor.
const QMP_SOCKET: &str = "qmp.sock";
/// The monitor of every other process.
const CONTROL_SOCKET: &str = "control.sock";
/// The socket of the guest's console, in the sandbox's directory: one client at a time, the others wait.
pub const CONSOLE_SOCKET: &str = "console.sock";
/// What the console has told, as whoever read it has written down, in the sandbox's directory.
pub const CONSOLE_LOG: &str = "console.log";
/// The size at which that log becomes the old one, in bytes.
pub const CONSOLE_LIMIT: u64 = 1 << 20;
/// Where QEMU's standard error goes.
pub const LOG: &str = "qemu.log";
/// The chardev, and the device, of the agent's virtio-serial port.
const AGENT_PORT: &str = "agent";

/// Asks the monitor at the other end of a connection whether its guest runs, as whoever takes over a machine does. It needs
/// neither a process nor a record.
///
/// # Errors
/// Whatever the monitor gives reason for; [`VmError::Timeout`] when it says nothing.
pub async fn is_running(monitor: tokio::net::UnixStream) -> Result<bool, VmError> {
    let monitor = qmp::Qmp::over(monitor, "(a connection)".into(), qmp::COMMAND, drop).await?;
    let status = monitor.execute(qapi::qmp::query_status {}, qmp::COMMAND).await?;
    Ok(status.running)
}

/// The driver of QEMU. It holds nothing: every machine is described by its plan and its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Qemu;

impl Qemu {
    /// The driver.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// The name of the program that emulates this machine type, as distributions install it.
    #[must_use]
    pub const fn default_program(machine: MachineType) -> &'static str {
        match machine {
            MachineType::Q35 | MachineType::Pc | MachineType::Microvm => "qemu-system-x86_64",
            MachineType::Virt => "qemu-system-aarch64",
            MachineType::Pseries => "qemu-system-ppc64",
            MachineType::S390CcwVirtio => "qemu-system-s390x",
        }
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    fn kind(&self) -> HypervisorKind {
        HypervisorKind::Qemu
    }

    fn plan(&self, spec: &VmSpec) -> Result<LaunchPlan, VmError> {
        Ok(plan::plan(spec)?)
    }

    async fn launch(&self, plan: LaunchPlan, cx: LaunchCx<'_>) -> Result<Box<dyn Vm>, VmError> {
        Ok(Box::new(launch::launch(plan, cx).await?))
    }

    async fn reattach(&self, record: &VmRecord) -> Result<Box<dyn Vm>, VmError> {
        Ok(Box::new(reattach::reattach(record).await?))
    }
}
