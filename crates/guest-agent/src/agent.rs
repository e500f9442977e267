//! The agent's whole state: one sandbox, its containers and storages, and what they are made with.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use virtcontainers_types::ContainerId;

use crate::{
    container::{Container, hooks::GuestHooks, launch::Launcher, oom::Ooms},
    error::CallError,
    init::modules::Modules,
    namespaces::Namespaces,
    reaper::Reaper,
    storage::Storages,
};

/// Containers of one sandbox.
const MAX_CONTAINERS: usize = 1024;

/// Where and how an agent works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The agent's own directory, for bundles and `libcontainer`'s states.
    pub directory: PathBuf,
    /// Whether a container's root can be pivoted.
    pub pivot: bool,
    /// Whether the agent is PID 1 of a virtual machine.
    pub is_init: bool,
    /// The size of its processes' pipes in bytes, where the host chose it.
    pub pipe_size: Option<usize>,
}

impl Settings {
    /// `libcontainer`'s directory of states.
    #[must_use]
    pub fn states(&self) -> PathBuf {
        self.directory.join("states")
    }

    /// Where the sockets are that take processes' terminals.
    #[must_use]
    pub fn consoles(&self) -> PathBuf {
        self.directory.join("tty")
    }

    /// The bundle of container `id`.
    #[must_use]
    pub fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.directory.join("containers").join(id.as_str())
    }
}

/// What the host has said of the sandbox.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Its name.
    pub id: String,
    /// Its hostname; empty if it has none.
    pub hostname: String,
    /// The text of its resolv.conf; empty if it has none.
    pub dns: String,
    /// The guest's own hooks for each of its containers.
    pub hooks: Arc<GuestHooks>,
}

/// The place of a container: empty while it is being made, closed and empty once that has failed.
type Place = watch::Receiver<Option<Arc<Container>>>;

/// The agent. Calls share it.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    reaper: Arc<Reaper>,
    launcher: Launcher,
    containers: Mutex<HashMap<ContainerId, Place>>,
    storages: Storages,
    namespaces: Namespaces,
    ooms: Ooms,
    sandbox: Mutex<Option<Sandbox>>,
    ending: watch::Sender<bool>,
}

impl Agent {
    /// An agent without a sandbox. `modules` are those of the initrd, none outside of a virtual machine.
    #[must_use]
    pub fn new(settings: Settings, reaper: Arc<Reaper>, modules: Option<Arc<Modules>>) -> Arc<Self> {
        Arc::new(Self {
            namespaces: Namespaces::new(&settings.directory, Arc::clone(&reaper)),
            ooms: Ooms::default(),
            settings,
            launcher: Launcher::new(Arc::clone(&reaper)),
            reaper,
            containers: Mutex::default(),
            storages: Storages::new(modules),
            sandbox: Mutex::default(),
            ending: watch::Sender::new(false),
        })
    }

    /// Where and how it works.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its collector of children.
    #[must_use]
    pub fn reaper(&self) -> &Arc<Reaper> {
        &self.reaper
    }

    /// What starts its containers' processes.
    #[must_use]
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// What is mounted for the sandbox and its containers.
    #[must_use]
    pub fn storages(&self) -> &Storages {
        &self.storages
    }

    /// The initrd's kernel modules; none outside of a virtual machine.
    #[must_use]
    pub fn modules(&self) -> Option<&Arc<Modules>> {
        self.storages.modules()
    }

    /// What the sandbox's containers share.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The containers' out-of-memory kills.
    #[must_use]
    pub fn ooms(&self) -> &Ooms {
        &self.ooms
    }

    /// What the host has said of the sandbox; nothing before it has.
    #[must_use]
    pub fn sandbox(&self) -> Option<Sandbox> {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the host says of the sandbox.
    ///
    /// # Errors
    /// [`CallError::Exists`]: an agent has one sandbox.
    pub fn open_sandbox(&self, wanted: Sandbox) -> Result<(), CallError> {
        let mut sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = sandbox.as_ref() {
            return Err(CallError::Exists { what: "sandbox", id: sandbox.id.clone() });
        }
        *sandbox = Some(wanted);
        Ok(())
    }

    /// Forgets the sandbox, when it could not be made.
    pub fn close_sandbox(&self) {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Reserves `id` for a container about to be made; dropping the reservation gives it back.
    ///
    /// # Errors
    /// [`CallError::Exists`] and [`CallError::TooMany`].
    pub fn reserve(self: &Arc<Self>, id: ContainerId) -> Result<Reservation, CallError> {
        let mut containers = self.table();
        if containers.contains_key(&id) {
            return Err(CallError::Exists { what: "container", id: id.to_string() });
        }
        if containers.len() >= MAX_CONTAINERS {
            return Err(CallError::TooMany { what: "containers in one sandbox", limit: MAX_CONTAINERS });
        }
        let (container, place) = watch::channel(None);
        containers.insert(id.clone(), place);
        Ok(Reservation { agent: Arc::clone(self), id, container })
    }

    /// The container named `id` in a request.
    ///
    /// # Errors
    /// [`CallError::NoContainer`], also while it is being made.
    pub fn container(&self, id: &str) -> Result<Arc<Container>, CallError> {
        self.place(id)?.borrow().clone().ok_or_else(|| no_container(id))
    }

    /// As [`Self::container`], but waits for the end of a creation under way. The caller bounds the wait.
    ///
    /// # Errors
    /// [`CallError::NoContainer`], also when the creation fails.
    pub async fn container_once_made(&self, id: &str) -> Result<Arc<Container>, CallError> {
        let mut place = self.place(id)?;
        let made = place.wait_for(Option::is_some).await.ok().and_then(|container| container.clone());
        made.ok_or_else(|| no_container(id))
    }

    fn place(&self, id: &str) -> Result<Place, CallError> {
        let key = ContainerId::new(id).ok();
        key.and_then(|key| self.table().get(&key).cloned()).ok_or_else(|| no_container(id))
    }

    /// Every container that is made.
    #[must_use]
    pub fn containers(&self) -> Vec<Arc<Container>> {
        self.table().values().filter_map(|place| place.borrow().clone()).collect()
    }

    /// Forgets a container that was removed.
    pub fn forget(&self, id: &ContainerId) {
        self.table().remove(id);
    }

    /// Asks for the agent's end, once the call under way is answered.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until the end is asked for.
    pub async fn ended(&self) {
        // The sender lives as long as the agent does.
        self.ending.subscribe().wait_for(|ending| *ending).await.ok();
    }

    /// The agent's own directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ContainerId, Place>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_container(id: &str) -> CallError {
    CallError::NoContainer(id.chars().take(virtcontainers_types::MAX_ID_LEN).collect())
}

/// An id that is taken by a container that is not there yet.
#[derive(Debug)]
pub struct Reservation {
    agent: Arc<Agent>,
    id: ContainerId,
    container: watch::Sender<Option<Arc<Container>>>,
}

impl Reservation {
    /// The reserved id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Puts the container in its place.
    pub fn fill(self, container: Arc<Container>) {
        self.container.send_replace(Some(container));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.container.borrow().is_none() {
            self.agent.table().remove(&self.id);
        }
    }
}
