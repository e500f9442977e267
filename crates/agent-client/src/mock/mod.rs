//! A scriptable agent for the tests of whoever builds on this library: no guest, no time lost, no surprises.
//!
//! It keeps containers and processes as a real agent does (what does not exist is *not found*, what exists already is
//! refused), runs processes as they are scripted, fails and delays calls as told, and remembers every call.
//!
//! ```
//! use virtcontainers_agent_client::{Agent, AgentErrorKind, mock::{Method, MockAgent, MockFailure}};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let agent = MockAgent::new();
//! agent.fail(Method::Check, 1, MockFailure::NotReady);
//! assert_eq!(agent.check().await.unwrap_err().kind(), AgentErrorKind::NotReady);
//! agent.check().await.unwrap();
//! assert_eq!(agent.count(Method::Check), 2);
//! # });
//! ```

mod act;
mod agent;
mod guest;
mod network;
mod process;
mod serve;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use oci_spec::runtime::LinuxResources;
use tokio::sync::watch;
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_types::{ContainerId, ExecId};

pub use self::serve::MockServer;
use self::{guest::GuestWide, process::Running};
pub use self::{
    guest::MockGuest,
    network::MockNetwork,
    process::{MockEnd, MockProcess},
};
use crate::{
    agent::{Agent, ContainerSpec, GuestSandbox, TerminalSize},
    connector::AgentConnector,
    error::{AgentError, RpcCode},
};

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The calls that a [`MockAgent`] can be told to fail or to delay.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method { $($(#[$doc])* $name),+ }

        impl Method {
            /// Every method.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

methods! {
    /// [`AgentConnector::connect`].
    Connect,
    /// [`Agent::check`].
    Check,
    /// [`Agent::info`].
    Info,
    /// [`Agent::create_sandbox`].
    CreateSandbox,
    /// [`Agent::destroy_sandbox`].
    DestroySandbox,
    /// [`Agent::create_container`].
    CreateContainer,
    /// [`Agent::start_container`].
    StartContainer,
    /// [`Agent::remove_container`].
    RemoveContainer,
    /// [`Agent::pause_container`].
    PauseContainer,
    /// [`Agent::resume_container`].
    ResumeContainer,
    /// [`Agent::exec_process`].
    ExecProcess,
    /// [`Agent::wait_process`].
    WaitProcess,
    /// [`Agent::signal_process`].
    SignalProcess,
    /// [`Agent::resize_terminal`].
    ResizeTerminal,
    /// [`Agent::read_stdout`].
    ReadStdout,
    /// [`Agent::read_stderr`].
    ReadStderr,
    /// [`Agent::write_stdin`].
    WriteStdin,
    /// [`Agent::close_stdin`].
    CloseStdin,
    /// [`Agent::update_container`].
    UpdateContainer,
    /// [`Agent::stats_container`].
    StatsContainer,
    /// [`Agent::list_processes`].
    ListProcesses,
    /// [`Agent::oom_event`].
    OomEvent,
    /// [`Agent::copy_file`].
    CopyFile,
    /// [`Agent::update_ephemeral_mounts`].
    UpdateEphemeralMounts,
    /// [`Agent::reseed_random`].
    ReseedRandom,
    /// [`Agent::set_time`].
    SetTime,
    /// [`Agent::online_cpu_mem`].
    OnlineCpuMem,
    /// [`Agent::mem_hotplug_by_probe`].
    MemHotplugByProbe,
    /// [`Agent::metrics`].
    Metrics,
    /// [`Agent::volume_stats`].
    VolumeStats,
    /// [`Agent::add_swap`].
    AddSwap,
    /// [`Agent::add_swap_path`].
    AddSwapPath,
    /// [`Agent::diagnostic_data`].
    DiagnosticData,
    /// [`Agent::guest_details`].
    GuestDetails,
    /// [`Agent::update_interface`].
    UpdateInterface,
    /// [`Agent::list_interfaces`].
    ListInterfaces,
    /// [`Agent::update_routes`].
    UpdateRoutes,
    /// [`Agent::list_routes`].
    ListRoutes,
    /// [`Agent::add_arp_neighbors`].
    AddArpNeighbors,
}

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MockFailure {
    /// [`AgentError::NotReady`].
    NotReady,
    /// [`AgentError::Disconnected`].
    Disconnected,
    /// [`AgentError::Timeout`], at once.
    Timeout,
    /// [`AgentError::Unimplemented`].
    Unimplemented,
    /// [`AgentError::Rpc`].
    Rpc(RpcCode, String),
}

impl MockFailure {
    fn error(self, method: &'static str) -> AgentError {
        match self {
            Self::NotReady => AgentError::NotReady,
            Self::Disconnected => AgentError::Disconnected { method },
            Self::Timeout => AgentError::Timeout { method, after: Duration::ZERO },
            Self::Unimplemented => AgentError::Unimplemented { method },
            Self::Rpc(code, message) => AgentError::Rpc { method, code, message },
        }
    }
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MockCall {
    /// Which.
    pub method: Method,
    /// On which container.
    pub container: Option<ContainerId>,
    /// On which process.
    pub exec: Option<ExecId>,
}

/// The agent; clones are the same agent. It is a connector too, one that hands itself out.
#[derive(Debug, Clone)]
pub struct MockAgent {
    guest: Arc<watch::Sender<Guest>>,
}

/// All that there is.
#[derive(Debug, Default)]
struct Guest {
    failures: HashMap<Method, VecDeque<MockFailure>>,
    delays: HashMap<Method, Duration>,
    scripts: HashMap<ExecId, MockProcess>,
    default: MockProcess,
    calls: Vec<MockCall>,
    sandbox: Option<GuestSandbox>,
    containers: HashMap<ContainerId, Container>,
    last_pid: u32,
    guest_wide: GuestWide,
}

#[derive(Debug)]
struct Container {
    spec: ContainerSpec,
    paused: bool,
    resources: Option<LinuxResources>,
    processes: HashMap<ExecId, Running>,
}

impl MockAgent {
    /// An agent whose processes end at once with code 0, and whose every call succeeds.
    #[must_use]
    pub fn new() -> Self {
        Self { guest: Arc::new(watch::Sender::new(Guest::default())) }
    }

    /// Fails the next `times` calls of a method (after those that were told to fail before).
    pub fn fail(&self, method: Method, times: usize, failure: MockFailure) {
        self.guest.send_modify(|guest| {
            guest.failures.entry(method).or_default().extend(std::iter::repeat_n(failure, times));
        });
    }

    /// Delays every call of a method.
    pub fn delay(&self, method: Method, by: Duration) {
        self.guest.send_modify(|guest| {
            guest.delays.insert(method, by);
        });
    }

    /// Scripts the process with this id, in whatever container; the first process of a container has its id.
    pub fn script(&self, exec: &ExecId, process: MockProcess) {
        self.guest.send_modify(|guest| {
            guest.scripts.insert(exec.clone(), process);
        });
    }

    /// Scripts all processes that have no script of their own.
    pub fn script_all(&self, process: MockProcess) {
        self.guest.send_modify(|guest| guest.default = process);
    }

    /// Ends a process from within. `false`: there is none, or it has ended before.
    #[must_use]
    pub fn end(&self, container: &ContainerId, exec: &ExecId, code: i32) -> bool {
        let end =
            |guest: &mut Guest| Some(guest.containers.get_mut(container)?.processes.get_mut(exec)?.end(code));
        let mut ended = None;
        self.guest.send_modify(|guest| ended = end(guest));
        ended == Some(true)
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<MockCall> {
        self.guest.borrow().calls.clone()
    }

    /// How often a method was called.
    #[must_use]
    pub fn count(&self, method: Method) -> usize {
        self.guest.borrow().calls.iter().filter(|call| call.method == method).count()
    }

    /// What the sandbox was created with; `None` before, and once it is destroyed.
    #[must_use]
    pub fn sandbox(&self) -> Option<GuestSandbox> {
        self.guest.borrow().sandbox.clone()
    }

    /// What a container was created with.
    #[must_use]
    pub fn container(&self, container: &ContainerId) -> Option<ContainerSpec> {
        self.guest.borrow().containers.get(container).map(|container| container.spec.clone())
    }

    /// The limits that a container was given last after it was created.
    #[must_use]
    pub fn resources(&self, container: &ContainerId) -> Option<LinuxResources> {
        self.guest.borrow().containers.get(container)?.resources.clone()
    }

    /// The signals that a process was sent, in order.
    #[must_use]
    pub fn signals(&self, container: &ContainerId, exec: &ExecId) -> Vec<u32> {
        self.guest.borrow().find(container, exec).map(|process| process.signals.clone()).unwrap_or_default()
    }

    /// The size that a process's terminal was told last.
    #[must_use]
    pub fn terminal(&self, container: &ContainerId, exec: &ExecId) -> Option<TerminalSize> {
        self.guest.borrow().find(container, exec)?.size
    }

    /// The ids of all containers.
    #[must_use]
    pub fn containers(&self) -> Vec<ContainerId> {
        let mut ids: Vec<_> = self.guest.borrow().containers.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Notes a call; then delays and fails it as told.
    async fn enter(
        &self,
        method: Method,
        container: Option<&ContainerId>,
        exec: Option<&ExecId>,
    ) -> Result<(), AgentError> {
        let (mut delay, mut failure) = (None, None);
        self.guest.send_modify(|guest| {
            guest.calls.push(MockCall { method, container: container.cloned(), exec: exec.cloned() });
            delay = guest.delays.get(&method).copied();
            failure = guest.failures.get_mut(&method).and_then(VecDeque::pop_front);
        });
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        failure.map_or(Ok(()), |failure| Err(failure.error(method.name())))
    }
}

impl Default for MockAgent {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl AgentConnector for MockAgent {
    async fn connect(&self, _: &AgentAddress) -> Result<Arc<dyn Agent>, AgentError> {
        self.enter(Method::Connect, None, None).await?;
        Ok(Arc::new(self.clone()))
    }
}
