//! What is known of the ends of processes.
//!
//! The protocol's WaitProcess answers once: the kata-agent forgets a process as soon as one wait for it was answered.
//! So it is asked once per process, every waiter shares the answer, and the answer is kept until the process's id is
//! used anew, its container is removed, or [`MAX_KNOWN`] ids are kept.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use virtcontainers_types::{ContainerId, ExecId};

/// How many processes are remembered before those that have ended are forgotten.
const MAX_KNOWN: usize = 1024;

/// The end of a process, once WaitProcess was answered.
pub(super) type Exit = watch::Receiver<Option<ttrpc::Result<i32>>>;

/// Hands the answer to all who wait.
pub(super) type Answer = watch::Sender<Option<ttrpc::Result<i32>>>;

#[derive(Debug, Default)]
pub(super) struct Exits(Mutex<HashMap<(ContainerId, ExecId), Exit>>);

impl Exits {
    /// The end of a process; with an [`Answer`] when the caller is the one who has to ask the guest.
    pub(super) fn of(&self, container: &ContainerId, exec: &ExecId) -> (Exit, Option<Answer>) {
        let mut known = self.lock();
        let key = (container.clone(), exec.clone());
        if let Some(exit) = known.get(&key)
            && still_counts(exit)
        {
            return (exit.clone(), None);
        }
        if known.len() >= MAX_KNOWN {
            known.retain(|_, exit| exit.borrow().is_none());
        }
        let (answer, exit) = watch::channel(None);
        known.insert(key, exit.clone());
        (exit, Some(answer))
    }

    /// The process is to be created: what was known under its id is of another one.
    pub(super) fn forget(&self, container: &ContainerId, exec: &ExecId) {
        self.lock().remove(&(container.clone(), exec.clone()));
    }

    /// The container is gone, with all its processes.
    pub(super) fn forget_container(&self, container: &ContainerId) {
        self.lock().retain(|(of, _), _| of != container);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ContainerId, ExecId), Exit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer, or the prospect of one. After a failure the guest is asked again.
fn still_counts(exit: &Exit) -> bool {
    match &*exit.borrow() {
        Some(answer) => answer.is_ok(),
        None => exit.has_changed().is_ok(),
    }
}
