//! The entry point: where sandboxes are kept, and what serves them.

mod builder;
mod events;
pub(crate) mod gc;
mod verbs;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::watch;
use virtcontainers_agent_client::{AgentConnector, KataConnector, NoopConnector};
use virtcontainers_hypervisor::Hypervisor;
use virtcontainers_store::{FaultPlan, Store};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::{AgentKind, HypervisorKind, SandboxId};

pub use builder::RuntimeBuilder;
pub use events::{Event, EventKind, EventOptions, Events};
pub use gc::{GcItem, GcOptions, GcOutcome, GcReport};

use crate::{
    config::HostFacts,
    error::{Cause, Error},
    sandbox::{Sandbox, Shared},
};

/// Makes sandboxes and finds them again (the reference document's `VC`). Clones are the same runtime.
///
/// All state is on disk, below the root directory: several runtimes, in one process or many, work on the same sandboxes
/// and never at the same time on one. Verbs must be called within a tokio runtime.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    root: PathBuf,
    store: Arc<dyn Store>,
    /// Whether the store is the one that keeps its records in files below the root.
    records_in_files: bool,
    hypervisors: BTreeMap<HypervisorKind, Arc<dyn Hypervisor>>,
    connector: Option<Arc<dyn AgentConnector>>,
    helper_program: Option<PathBuf>,
    host: HostFacts,
    faults: FaultPlan,
    patience: Duration,
    process: ProcessRef,
    /// One handle's inside for each sandbox, so that all handles of this process share its connections: a VMM's control
    /// socket serves one client at a time.
    handles: Mutex<HashMap<SandboxId, Weak<Shared>>>,
    /// Each verb at work holds a receiver.
    at_work: watch::Sender<()>,
}

/// Held by a verb as long as it changes something.
pub(crate) struct AtWork(#[expect(dead_code, reason = "it only has to live")] watch::Receiver<()>);

impl Runtime {
    /// A runtime to be configured.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// A runtime with all defaults: root directory `/run/virtcontainers`, QEMU.
    ///
    /// # Errors
    /// When the root directory cannot be made or read.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// The root directory, in canonical form.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Resolves when no verb of this runtime is at work any more. A verb whose future was dropped goes on by itself: a
    /// create undoes what it had done, another verb ends what it began. Wait here before the process exits.
    pub async fn settled(&self) {
        self.0.at_work.closed().await;
    }

    pub(crate) fn at_work(&self) -> AtWork {
        AtWork(self.0.at_work.subscribe())
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn host(&self) -> &HostFacts {
        &self.0.host
    }

    /// This process, as records name it.
    pub(crate) fn process(&self) -> ProcessRef {
        self.0.process
    }

    pub(crate) fn faults(&self) -> FaultPlan {
        self.0.faults.clone()
    }

    /// How long a verb may go on that nobody waits for.
    pub(crate) fn patience(&self) -> Duration {
        self.0.patience
    }

    pub(crate) fn helper_program(&self) -> Option<&Path> {
        self.0.helper_program.as_deref()
    }

    /// The directory of a sandbox: its sockets, logs, mounts and records.
    pub(crate) fn sandbox_dir(&self, id: &SandboxId) -> PathBuf {
        self.0.root.join("sandboxes").join(id.as_str())
    }

    pub(crate) fn hypervisor(&self, kind: HypervisorKind) -> Result<&Arc<dyn Hypervisor>, Error> {
        self.0.hypervisors.get(&kind).ok_or_else(|| Cause::NoHypervisor(kind).into())
    }

    pub(crate) fn connector(&self, kind: AgentKind) -> Arc<dyn AgentConnector> {
        match (&self.0.connector, kind) {
            (Some(connector), _) => Arc::clone(connector),
            (None, AgentKind::Kata) => Arc::new(KataConnector::default()),
            (None, AgentKind::Noop) => Arc::new(NoopConnector),
        }
    }

    /// The handle of a sandbox, whether the sandbox exists or not.
    pub(crate) fn handle(&self, id: &SandboxId) -> Sandbox {
        let mut handles = self.0.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = handles.get(id).and_then(Weak::upgrade) {
            return Sandbox::from(shared);
        }
        // The dead are swept when the map would have to grow, so that it never holds more than twice the living.
        if handles.len() == handles.capacity() {
            handles.retain(|_, shared| shared.strong_count() > 0);
        }
        let shared = Arc::new(Shared::new(self.clone(), id.clone()));
        handles.insert(id.clone(), Arc::downgrade(&shared));
        Sandbox::from(shared)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("root", &self.0.root)
            .field("hypervisors", &self.0.hypervisors.keys())
            .finish_non_exhaustive()
    }
}
