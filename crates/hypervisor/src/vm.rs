//! The two traits: [`Hypervisor`] makes machines, [`Vm`] is one.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::HypervisorKind;

use crate::{
    console::ConsoleTail,
    error::VmError,
    hotplug::{Hotplug, PlugSlots},
    plan::{LaunchCx, LaunchPlan},
    spec::{AgentChannel, VmSpec},
};

/// A virtual machine monitor.
#[async_trait]
pub trait Hypervisor: Send + Sync + std::fmt::Debug {
    /// Which one.
    fn kind(&self) -> HypervisorKind;

    /// Turns a spec into a launch. Pure: it reads no file and asks no kernel.
    ///
    /// # Errors
    /// [`VmError::Invalid`] for what this VMM cannot build.
    fn plan(&self, spec: &VmSpec) -> Result<LaunchPlan, VmError>;

    /// Starts the VMM's process and, after the caller has put it on record, the guest. When it returns, the guest's
    /// processors run and every event from the first instruction on will be seen.
    ///
    /// # Errors
    /// [`VmError`]; the process, if it was started, has been ended and reaped.
    async fn launch(&self, plan: LaunchPlan, cx: LaunchCx<'_>) -> Result<Box<dyn Vm>, VmError>;

    /// Takes over a machine that another process launched.
    ///
    /// # Errors
    /// [`VmError::Gone`] when its process has ended.
    async fn reattach(&self, record: &VmRecord) -> Result<Box<dyn Vm>, VmError>;
}

/// A virtual machine that runs.
#[async_trait]
pub trait Vm: Send + Sync + std::fmt::Debug {
    /// What another process needs to reattach, and what a release needs to end the machine without a VMM's help.
    fn record(&self) -> VmRecord;

    /// Becomes `Some` when the VMM's process has ended.
    fn exited(&self) -> watch::Receiver<Option<VmExit>>;

    /// Becomes `true` when the guest has opened the agent's virtio-serial port; for the other channels never.
    fn agent_port_open(&self) -> watch::Receiver<bool>;

    /// The last lines of the guest's console that this process has seen.
    fn console(&self) -> ConsoleTail;

    /// Whether the processors run or stand still.
    ///
    /// # Errors
    /// [`VmError`] when the VMM does not answer.
    async fn state(&self) -> Result<VmState, VmError>;

    /// Stops the processors. Idempotent.
    ///
    /// # Errors
    /// [`VmError`] when the VMM does not answer or refuses.
    async fn pause(&self) -> Result<(), VmError>;

    /// Lets the processors go on. Idempotent.
    ///
    /// # Errors
    /// [`VmError`] when the VMM does not answer or refuses.
    async fn resume(&self) -> Result<(), VmError>;

    /// Ends the machine; returns when the VMM's process is gone. Idempotent.
    ///
    /// # Errors
    /// [`VmError`] when the process survives even SIGKILL within the bound.
    async fn shutdown(&self, how: Shutdown) -> Result<VmExit, VmError>;

    /// Plugs devices while the guest runs, on machines that can.
    fn hotplug(&self) -> Option<&dyn Hotplug> {
        None
    }
}

/// How a machine is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Wait this long for the guest to power itself off (the agent was asked to), then as [`Shutdown::Quit`].
    Graceful(Duration),
    /// Ask the VMM to quit, then kill it.
    Quit,
    /// Kill it.
    Kill,
}

/// How a machine ended, as far as this process can know: a status only where it launched the VMM itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmExit {
    /// Exit code of the VMM's process.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
}

/// Whether the processors of a machine run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmState {
    /// They run.
    Running,
    /// They stand still.
    Paused,
    /// The guest has powered off or panicked, the VMM is still there.
    Down,
}

/// A machine, as a record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRecord {
    /// The VMM.
    pub hypervisor: HypervisorKind,
    /// Its process; none for machines without one (the mock).
    pub process: Option<ProcessRef>,
    /// The sandbox's directory, where the control socket lives.
    pub dir: PathBuf,
    /// The device that carries the agent's stream.
    pub channel: AgentChannel,
    /// Where it takes devices while it runs; none for a machine that takes none.
    #[serde(default)]
    pub plug_slots: Option<PlugSlots>,
}
