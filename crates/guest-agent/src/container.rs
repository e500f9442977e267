//! The containers of the sandbox, one file for each verb.

pub mod cgroup;
pub mod create;
pub mod devices;
mod dns;
pub mod enter;
pub mod exec;
pub mod hooks;
pub mod launch;
pub mod limits;
pub mod oom;
pub mod pause;
pub mod processes;
pub mod remove;
pub mod spec;
pub mod start;
pub mod stats;
pub mod update;
pub mod user;
pub mod worker;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use virtcontainers_types::ContainerId;

use crate::{
    error::CallError,
    process::{Process, Table},
};
use cgroup::Cgroup;

/// What a container does; what a request may ask of it depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its first process waits to be started.
    Created,
    /// Its first process runs.
    Running,
    /// Everything in it is frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl State {
    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container: its first process, those executed in it later, and what removal has to take back.
#[derive(Debug)]
pub struct Container {
    id: ContainerId,
    init: Arc<Process>,
    cgroup: Cgroup,
    rootfs: PathBuf,
    /// The specification's process, from which executed ones inherit.
    process: oci_spec::runtime::Process,
    /// The filter of system calls that all its processes get.
    seccomp: Option<oci_spec::runtime::LinuxSeccomp>,
    storages: Vec<PathBuf>,
    bundle: PathBuf,
    annotations: HashMap<String, String>,
    /// What happens after its start and after its removal.
    hooks: hooks::Hooks,
    /// Whether its first process is one among others in the sandbox's pid namespace.
    shares_pids: bool,
    state: Mutex<State>,
    processes: Mutex<Table>,
    /// Held by the verb that is changing the container.
    verb: tokio::sync::Mutex<()>,
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Its first process.
    #[must_use]
    pub fn init(&self) -> &Arc<Process> {
        &self.init
    }

    /// Its cgroup.
    #[must_use]
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Whether its first process is one among others in the sandbox's pid namespace.
    #[must_use]
    pub fn shares_pids(&self) -> bool {
        self.shares_pids
    }

    /// What it does now.
    #[must_use]
    pub fn state(&self) -> State {
        if self.init.exit().code().is_some() {
            return State::Stopped;
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The process that a request names: none, the container's id or its first process's for the first one.
    ///
    /// # Errors
    /// [`CallError::NoProcess`].
    pub fn process(&self, exec: &str) -> Result<Arc<Process>, CallError> {
        if self.names_init(exec) {
            return Ok(Arc::clone(&self.init));
        }
        let container = self.id.to_string();
        self.table()
            .get(exec)
            .ok_or_else(|| CallError::NoProcess { container, exec: exec.chars().take(128).collect() })
    }

    fn names_init(&self, exec: &str) -> bool {
        exec.is_empty() || exec == self.id.as_str() || exec == self.init.id()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong_state(&self, wanted: &'static str) -> CallError {
        CallError::WrongState { id: self.id.to_string(), state: self.state().name(), wanted }
    }
}
