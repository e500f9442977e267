//! A library for building hardware-virtualized container runtimes.
//!
//! The unit is the **sandbox**: one virtual machine, in which one or more **containers** run as processes. A
//! [`Runtime`] makes sandboxes and finds them again; [`Sandbox`], [`Container`] and [`Process`] are handles on what it
//! made. Nothing needs a daemon: all state is on disk, and many processes may work on one sandbox.
//!
//! - Configurations ([`config`]) are plain data. Everything that is wrong with one is told at once.
//! - A create is all or nothing. Whatever dies in its midst, the record tells what is to be released, and a delete
//!   releases it.
//! - Errors ([`Error`]) are asked for their kind, and say what to do next.
//!
//! # Example
//!
//! With the mock in place of a virtual machine, which needs neither root nor a guest image:
//!
//! ```
//! use std::sync::Arc;
//! use virtcontainers::{
//!     AgentKind, ContainerConfig, DeleteMode, HypervisorKind, Runtime, SandboxConfig, SandboxState, StopMode,
//!     hypervisor::mock::MockHypervisor,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let root = dir.path();
//! let runtime = Runtime::builder().root(root).hypervisor(Arc::new(MockHypervisor::default())).build()?;
//! let sandbox = runtime
//!     .run_sandbox(SandboxConfig {
//!         id: "web".into(),
//!         hypervisor_type: HypervisorKind::Mock,
//!         agent_type: AgentKind::Noop,
//!         containers: vec![ContainerConfig::new("shell", "/", ["/bin/sh"])],
//!         ..SandboxConfig::default()
//!     })
//!     .await?;
//! assert_eq!(sandbox.status().await?.state, SandboxState::Running);
//!
//! sandbox.stop(StopMode::Graceful).await?;
//! sandbox.delete(DeleteMode::IfStopped).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The directory `examples` holds the same with a real virtual machine.

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub mod cgroup;
mod container;
mod drive;
mod error;
mod log;
mod oci;
mod privileges;
mod process;
mod ps;
mod runtime;
mod sandbox;
mod signal;
mod state;
mod status;
mod time;

pub mod config;

pub use config::{
    AssetHashes, Cmd, CniConfig, ConfigError, ContainerConfig, ContainerResources, HypervisorConfig,
    KataAgentConfig, Mount, NetmonConfig, NetworkConfig, PortMapping, Problem, ProxyConfig, RootFs,
    SandboxConfig, Seconds, ShimConfig, Violation, Volume,
};
pub use container::{AttachControl, AttachOutput, AttachStdin, Attachment, Container};
pub use error::{Error, ErrorKind};
pub use log::{LogOptions, LogSource, Logs};
pub use privileges::{Ability, Privileges, Refusal};
pub use process::Process;
pub use ps::{ProcessList, ProcessListFormat, ProcessListOptions};
pub use runtime::{
    Event, EventKind, EventOptions, Events, GcItem, GcOptions, GcOutcome, GcReport, Runtime, RuntimeBuilder,
};
pub use sandbox::{
    DEFAULT_MONITOR_CHECK_INTERVAL, DeleteMode, GuestStream, Monitor, NetworkChanges, Sandbox, StopMode,
};
pub use signal::{KillScope, Signal, UnknownSignal};
pub use status::{BrokenContainer, ContainerStatus, HelperProcess, SandboxStatus, StatusReason};
pub use time::Timestamp;

pub use virtcontainers_agent_client::{
    AgentInfo, GuestDetails, GuestProcess, TerminalSize,
    io::{OutputStream, ProcessOutput, ProcessStdin},
    shim::LogLine,
};
pub use virtcontainers_store::Durability;
pub use virtcontainers_types::stats;
pub use virtcontainers_types::stats::{ContainerStats, SandboxStats};
pub use virtcontainers_types::{
    AcceleratorChoice, AgentKind, Bytes, ContainerId, ContainerState, EnvVar, ExecId, HypervisorKind,
    InvalidId, KernelParam, MachineType, MiB, NetInterworkingModel, ProxyKind, SandboxId, SandboxState,
    SharedFs, ShimKind, Transport, VcpuCount,
    net::{Interface, MacAddr, Neighbor, PciPath, Route},
};

/// OCI types that configurations carry.
pub use oci_spec::runtime as oci_runtime;
/// Guest agents, and how to bring your own.
pub use virtcontainers_agent_client as agent;
/// Virtual machine monitors, and how to bring your own.
pub use virtcontainers_hypervisor as hypervisor;
/// Stores of records, and how to bring your own.
pub use virtcontainers_store as store;
