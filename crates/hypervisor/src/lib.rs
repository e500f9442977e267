//! Virtual machine monitors behind two small traits.
//!
//! A driver turns a [`VmSpec`] into a [`LaunchPlan`] without touching the host (pure, so a whole argv can be compared
//! in a test), launches the plan, and hands back a [`Vm`]. A later process reattaches to the same machine from its
//! [`VmRecord`]. An ability that a VMM lacks is absent from its type, never a method that lies.

mod accelerator;
mod console;
mod error;
mod hotplug;
mod nic;
mod plan;
mod spec;
mod vm;

pub mod mock;
pub mod qemu;

pub use accelerator::{
    Accelerator, AcceleratorDecision, AcceleratorError, HostFacts, KvmUnusable, choose_accelerator,
};
pub use console::{ConsoleTail, plain_line};
pub use error::{InvalidSpec, VmError};
pub use hotplug::{Hotplug, PlugKind, PlugSlots, PluggedNic};
pub use nic::{Nic, NicBackend, NicFds, PlannedNic};
pub use plan::{LaunchCx, LaunchPlan, ListenSocket, OpenDevice};
pub use qemu::cold_nic_path;
pub use spec::{AgentChannel, Boot, Memory, RootImage, Share, VmSpec};
pub use vm::{Hypervisor, Shutdown, Vm, VmExit, VmRecord, VmState};
