//! How a runtime is put together.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;
use virtcontainers_agent_client::AgentConnector;
use virtcontainers_hypervisor::{Hypervisor, qemu::Qemu};
use virtcontainers_store::{Durability, FaultPlan, FsStore, Store};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::HypervisorKind;

use super::{Inner, Runtime};
use crate::{
    config::HostFacts,
    error::{Cause, Error},
};

/// Where sandboxes are kept when nothing else is said.
const DEFAULT_ROOT: &str = "/run/virtcontainers";
/// Longer than any stop takes that goes well.
const PATIENCE: Duration = Duration::from_secs(120);

/// Configures a [`Runtime`]. Everything has a default.
#[derive(Debug, Default)]
#[must_use = "nothing is made before build()"]
pub struct RuntimeBuilder {
    root: Option<PathBuf>,
    store: Option<Arc<dyn Store>>,
    durability: Durability,
    hypervisors: Vec<Arc<dyn Hypervisor>>,
    connector: Option<Arc<dyn AgentConnector>>,
    helper_program: Option<PathBuf>,
    faults: FaultPlan,
    patience: Option<Duration>,
}

impl RuntimeBuilder {
    /// The root directory; `/run/virtcontainers` without it. Sandboxes are found again only under the same one.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// A virtual machine monitor of your own, or the mock. It takes the place of a built-in one of the same kind.
    pub fn hypervisor(mut self, hypervisor: Arc<dyn Hypervisor>) -> Self {
        self.hypervisors.push(hypervisor);
        self
    }

    /// How agents are reached, in place of the built-in connectors.
    pub fn connector(mut self, connector: Arc<dyn AgentConnector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// A store of your own, in place of files below the root directory.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Whether records must survive the loss of power. Of no effect on a store of your own.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// A program that is the library's helpers: started with the argument `proxy` it calls
    /// [`proxy::run_inherited`](virtcontainers_agent_client::proxy::run_inherited), which virtio-serial needs unless the
    /// proxy is built in, and with `shim` [`shim::run_inherited`](virtcontainers_agent_client::shim::run_inherited).
    /// Without it, `vc-helper` is looked for beside this process's program and on `PATH`; `virtc` is its own.
    pub fn helper_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.helper_program = Some(program.into());
        self
    }

    /// How long a verb may go on whose caller has left: a stop is to be brought to its end, but one that hangs must not
    /// keep the sandbox for ever. Two minutes without it. A create and a run are undone at once.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Makes steps of verbs fail, for tests.
    pub fn faults(mut self, faults: FaultPlan) -> Self {
        self.faults = faults;
        self
    }

    /// Makes the runtime, and the root directory if it is not there.
    ///
    /// # Errors
    /// When the root directory cannot be made or read.
    pub fn build(self) -> Result<Runtime, Error> {
        let root = self.root.unwrap_or_else(|| DEFAULT_ROOT.into());
        let records_in_files = self.store.is_none();
        let (root, store): (_, Arc<dyn Store>) = match self.store {
            Some(store) => {
                let made = std::fs::create_dir_all(root.join("sandboxes")).and_then(|()| root.canonicalize());
                (
                    made.map_err(|source| Cause::Path {
                        what: "make the root directory",
                        path: root,
                        source,
                    })?,
                    store,
                )
            }
            None => {
                let store = FsStore::with_durability(&root, self.durability)?;
                (store.root().to_owned(), Arc::new(store))
            }
        };
        let host =
            HostFacts::read().map_err(|source| Cause::Host { what: "read the size of memory", source })?;
        let process =
            ProcessRef::myself().map_err(|source| Cause::Host { what: "identify this process", source })?;
        let mut hypervisors: BTreeMap<HypervisorKind, Arc<dyn Hypervisor>> = BTreeMap::new();
        hypervisors.insert(HypervisorKind::Qemu, Arc::new(Qemu::new()));
        hypervisors.extend(self.hypervisors.into_iter().map(|hypervisor| (hypervisor.kind(), hypervisor)));
        Ok(Runtime(Arc::new(Inner {
            root,
            store,
            records_in_files,
            hypervisors,
            connector: self.connector,
            helper_program: self.helper_program,
            host,
            faults: self.faults,
            patience: self.patience.unwrap_or(PATIENCE),
            process,
            handles: Mutex::new(HashMap::new()),
            at_work: watch::Sender::new(()),
        })))
    }
}
