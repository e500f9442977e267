//! A scriptable hypervisor for tests: no process, no guest, microseconds per call.
//!
//! A machine of the mock is a small file in the sandbox's directory, so that another process with a mock of its own can
//! reattach to it. Delays and failures are set per [`Step`] on the [`MockBuilder`]; what was called is in
//! [`MockHypervisor::calls`]. Clones share script, log and machines.
//!
//! ```
//! use std::time::Duration;
//! use virtcontainers_hypervisor::mock::{MockHypervisor, Step};
//!
//! let mock = MockHypervisor::builder()
//!     .delay(Step::Launch, Duration::from_millis(5))
//!     .fail(Step::Pause, "the guest is in the way")
//!     .build();
//! assert_eq!(mock.count(Step::Launch), 0);
//! ```

mod nics;
mod state;
mod vm;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use virtcontainers_types::HypervisorKind;

use self::{
    state::{Life, StateFile},
    vm::{MockVm, Shared},
};
use crate::{
    error::VmError,
    nic::NicFds,
    plan::{LaunchCx, LaunchPlan},
    qemu,
    spec::VmSpec,
    vm::{Hypervisor, Vm, VmExit, VmRecord},
};

/// What a mock can be told to delay or to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// [`Hypervisor::plan`]; its delay is not observed, for planning does not wait.
    Plan,
    /// [`Hypervisor::launch`], before anything is made.
    Launch,
    /// [`Hypervisor::launch`], after the machine was put on record and before it is handed out.
    Boot,
    /// [`Vm::pause`].
    Pause,
    /// [`Vm::resume`].
    Resume,
    /// [`Vm::shutdown`].
    Shutdown,
    /// [`Hypervisor::reattach`].
    Reattach,
    /// [`Hotplug::add_nic`](crate::Hotplug::add_nic), before the interface is there.
    AddNic,
    /// [`Hotplug::remove_nic`](crate::Hotplug::remove_nic), while the interface is still there.
    RemoveNic,
}

impl Step {
    /// The step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Launch => "launch",
            Self::Boot => "boot",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Shutdown => "shutdown",
            Self::Reattach => "reattach",
            Self::AddNic => "add-nic",
            Self::RemoveNic => "remove-nic",
        }
    }
}

/// One call of the mock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub step: Step,
    /// The sandbox's directory, which tells the machines apart.
    pub dir: PathBuf,
    /// The network interface that came or went, for the two steps about one.
    pub nic: Option<String>,
}

/// A failure to come: how often, and what it says.
#[derive(Debug, Clone)]
struct Failure {
    times: Option<u32>,
    message: String,
}

/// The script of a [`MockHypervisor`].
#[derive(Debug, Clone)]
#[must_use = "build() makes the mock"]
pub struct MockBuilder {
    delays: HashMap<Step, Duration>,
    failures: HashMap<Step, Failure>,
    exit_after: Option<Duration>,
    console: String,
    agent_port: bool,
}

impl MockBuilder {
    /// Lets a step take at least this long.
    pub fn delay(mut self, step: Step, time: Duration) -> Self {
        self.delays.insert(step, time);
        self
    }

    /// Lets a step fail with [`VmError::Injected`], after its delay, whenever it is called.
    pub fn fail(mut self, step: Step, message: impl Into<String>) -> Self {
        self.failures.insert(step, Failure { times: None, message: message.into() });
        self
    }

    /// Lets a step fail the first few times only.
    pub fn fail_times(mut self, step: Step, times: u32, message: impl Into<String>) -> Self {
        self.failures.insert(step, Failure { times: Some(times), message: message.into() });
        self
    }

    /// Lets every machine end by itself, with exit code 0, this long after its launch.
    pub fn exit_after(mut self, time: Duration) -> Self {
        self.exit_after = Some(time);
        self
    }

    /// What every machine shows on its console.
    pub fn console(mut self, text: impl Into<String>) -> Self {
        self.console = text.into();
        self
    }

    /// Whether the guest opens the agent's virtio-serial port at once (it does unless told otherwise) or never.
    pub fn agent_port(mut self, opens: bool) -> Self {
        self.agent_port = opens;
        self
    }

    /// Makes the mock.
    #[must_use]
    pub fn build(self) -> MockHypervisor {
        MockHypervisor(Arc::new(Mock { script: self, played: Mutex::default() }))
    }
}

/// The scriptable hypervisor. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MockHypervisor(Arc<Mock>);

#[derive(Debug)]
struct Mock {
    script: MockBuilder,
    played: Mutex<Played>,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Played {
    calls: Vec<Call>,
    failed: HashMap<Step, u32>,
    machines: HashMap<PathBuf, Arc<Shared>>,
}

impl Default for MockHypervisor {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl MockHypervisor {
    /// Starts a script; as it is, every step succeeds at once.
    pub fn builder() -> MockBuilder {
        MockBuilder {
            delays: HashMap::new(),
            failures: HashMap::new(),
            exit_after: None,
            console: String::new(),
            agent_port: true,
        }
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.0.played().calls.clone()
    }

    /// How often a step was called.
    #[must_use]
    pub fn count(&self, step: Step) -> usize {
        self.0.played().calls.iter().filter(|call| call.step == step).count()
    }

    /// Ends a machine as if its VMM had crashed.
    ///
    /// # Errors
    /// [`VmError::Gone`] when there is none in this directory.
    pub fn crash(&self, dir: &Path, exit: VmExit) -> Result<(), VmError> {
        let file = StateFile::in_dir(dir);
        if file.read()?.is_none() {
            return Err(VmError::Gone { process: None });
        }
        file.remove()?;
        self.0.machine(dir).end(exit);
        Ok(())
    }
}

impl Mock {
    fn played(&self) -> std::sync::MutexGuard<'_, Played> {
        self.played.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a call, and fails it if the script says so.
    fn play(&self, step: Step, dir: &Path, nic: Option<&str>) -> Result<(), VmError> {
        let mut played = self.played();
        played.calls.push(Call { step, dir: dir.to_owned(), nic: nic.map(str::to_owned) });
        let Some(failure) = self.script.failures.get(&step) else { return Ok(()) };
        let failed = played.failed.entry(step).or_default();
        if failure.times.is_some_and(|times| *failed >= times) {
            return Ok(());
        }
        *failed += 1;
        Err(VmError::Injected { step: step.as_str(), message: failure.message.clone() })
    }

    /// As [`Mock::play`], after the step's delay.
    async fn perform(&self, step: Step, dir: &Path) -> Result<(), VmError> {
        self.perform_with(step, dir, None).await
    }

    /// As [`Mock::perform`], with a network interface.
    async fn perform_with(&self, step: Step, dir: &Path, nic: Option<&str>) -> Result<(), VmError> {
        if let Some(&delay) = self.script.delays.get(&step) {
            tokio::time::sleep(delay).await;
        }
        self.play(step, dir, nic)
    }

    /// What all handles of one machine share.
    fn machine(&self, dir: &Path) -> Arc<Shared> {
        self.played().machines.entry(dir.to_owned()).or_default().clone()
    }
}

#[async_trait]
impl Hypervisor for MockHypervisor {
    fn kind(&self) -> HypervisorKind {
        HypervisorKind::Mock
    }

    fn plan(&self, spec: &VmSpec) -> Result<LaunchPlan, VmError> {
        self.0.play(Step::Plan, &spec.dir, None)?;
        Ok(LaunchPlan {
            program: "mock".into(),
            args: Vec::new(),
            dir: spec.dir.clone(),
            listen: Vec::new(),
            open: Vec::new(),
            serves_files: false,
            nics: qemu::planned_nics(spec),
            channel: spec.channel.clone(),
            plug_slots: qemu::plug_slots(spec),
        })
    }

    async fn launch(&self, plan: LaunchPlan, cx: LaunchCx<'_>) -> Result<Box<dyn Vm>, VmError> {
        self.0.perform(Step::Launch, &plan.dir).await?;
        // The mock looks at the descriptors as a VMM does, and needs none of them.
        drop(NicFds::sorted(cx.nic_fds, &plan.nics)?);
        let record = VmRecord {
            hypervisor: HypervisorKind::Mock,
            process: None,
            dir: plan.dir.clone(),
            channel: plan.channel,
            plug_slots: plan.plug_slots,
        };
        let file = StateFile::in_dir(&plan.dir);
        file.create(Life::Running)?;
        // What is left undone when this future is dropped or fails is a machine, and goes with it.
        let unless_launched = RemoveUnlessKept(Some(&file));
        for nic in &plan.nics {
            nics::plug(&plan.dir, &nic.id, nic.path.as_ref())?;
        }
        (cx.spawned)(&record)
            .map_err(|source| VmError::NotRecorded { program: plan.program.clone(), source })?;
        self.0.perform(Step::Boot, &plan.dir).await?;
        unless_launched.keep();
        self.0.played().machines.insert(plan.dir, Arc::default());
        Ok(Box::new(MockVm::launched(Arc::clone(&self.0), record)))
    }

    async fn reattach(&self, record: &VmRecord) -> Result<Box<dyn Vm>, VmError> {
        self.0.perform(Step::Reattach, &record.dir).await?;
        if record.hypervisor != HypervisorKind::Mock {
            return Err(VmError::ForeignRecord {
                dir: record.dir.clone(),
                expected: HypervisorKind::Mock.as_str(),
                why: format!("it is one of {}", record.hypervisor),
            });
        }
        if StateFile::in_dir(&record.dir).read()?.is_none() {
            return Err(VmError::Gone { process: None });
        }
        Ok(Box::new(MockVm::reattached(Arc::clone(&self.0), record.clone())))
    }
}

/// Takes the state file away again, unless the launch succeeds.
struct RemoveUnlessKept<'a>(Option<&'a StateFile>);

impl RemoveUnlessKept<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for RemoveUnlessKept<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(StateFile::remove) {
            tracing::error!(%error, "a mock machine is left behind");
        }
    }
}
