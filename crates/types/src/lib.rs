//! The vocabulary of virtcontainers: identifiers, units, states, statistics and closed sets of choices.
//!
//! This crate owns names and nothing else: no I/O, no async, no kernel interface. Every value here is valid by
//! construction, so the crates above never check an id or a unit again.

mod choice;
mod id;
mod process;
mod state;
mod unit;

pub mod annotations;
pub mod net;
pub mod stats;

pub use choice::{
    AcceleratorChoice, AgentKind, HypervisorKind, MachineType, NetInterworkingModel, ProxyKind, SharedFs,
    ShimKind, Transport, UnknownChoice,
};
pub use id::{ContainerId, ExecId, InvalidId, MAX_ID_LEN, SandboxId};
pub use process::{EnvVar, InvalidEnvVar, KernelParam};
pub use state::{ContainerState, SandboxState};
pub use unit::{Bytes, InvalidUnit, MiB, VcpuCount};

#[cfg(test)]
mod tests;
