//! Containers that lose processes for want of memory, as agents tell it.

use std::collections::HashMap;

use tokio::sync::mpsc;
use virtcontainers_sys::task::{self, Task};
use virtcontainers_types::{ContainerId, SandboxId};

use crate::runtime::Runtime;

/// How many events wait to be taken before the agents have to keep theirs.
const WAITING: usize = 64;

/// Asks the agents of sandboxes that run.
pub(super) struct OomWatch {
    runtime: Runtime,
    /// One task a sandbox. Each ends when its agent cannot be asked any more.
    tasks: HashMap<SandboxId, Task<()>>,
    tell: mpsc::Sender<(SandboxId, ContainerId)>,
    told: mpsc::Receiver<(SandboxId, ContainerId)>,
}

impl OomWatch {
    pub(super) fn new(runtime: Runtime) -> Self {
        let (tell, told) = mpsc::channel(WAITING);
        Self { runtime, tasks: HashMap::new(), tell, told }
    }

    /// Asks the agent of a sandbox, if that is not being done.
    pub(super) fn watch(&mut self, id: &SandboxId) {
        self.tasks.retain(|_, task| !task.is_finished());
        if self.tasks.contains_key(id) {
            return;
        }
        let (sandbox, tell, name) = (self.runtime.handle(id), self.tell.clone(), id.clone());
        let ask = async move {
            loop {
                match sandbox.oom_event().await {
                    Ok(container) => {
                        if tell.send((name.clone(), container)).await.is_err() {
                            return;
                        }
                    }
                    // It is stopped or paused: the next change of its record begins anew.
                    Err(error) => return tracing::debug!(sandbox = %name, %error, "no more OOM events"),
                }
            }
        };
        self.tasks.insert(id.clone(), task::spawn("oom events", ask));
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> (SandboxId, ContainerId) {
        match self.told.recv().await {
            Some(told) => told,
            // Not while this watch holds a sender.
            None => std::future::pending().await,
        }
    }
}
