//! Out-of-memory kills: every container's `memory.events` (cgroup v2) is watched, and what happens is queued for
//! whoever asks.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{io::Interest, sync::Notify};
use virtcontainers_sys::task::{self, Task};
use virtcontainers_types::ContainerId;

use super::{cgroup::Cgroup, stats};
use crate::sys;

/// Events kept for a host that does not ask; later ones are dropped.
const MAX_EVENTS: usize = 256;

/// Events that one look at the kernel's counter may give.
const MAX_AT_ONCE: u64 = 16;

const EVENTS: &str = "memory.events";

/// What is watched and what has happened.
#[derive(Debug, Default)]
pub struct Ooms {
    queue: Arc<Queue>,
    watches: Mutex<HashMap<ContainerId, Task<()>>>,
}

#[derive(Debug, Default)]
struct Queue {
    events: Mutex<VecDeque<ContainerId>>,
    news: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<ContainerId>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self) -> Option<ContainerId> {
        let mut events = self.lock();
        let event = events.pop_front();
        if !events.is_empty() {
            // There may be somebody else who waits.
            self.news.notify_one();
        }
        event
    }

    fn push(&self, id: &ContainerId, count: u64) {
        let mut events = self.lock();
        for _ in 0..count.min(MAX_AT_ONCE) {
            if events.len() < MAX_EVENTS {
                events.push_back(id.clone());
            }
        }
        drop(events);
        self.news.notify_one();
    }
}

impl Ooms {
    /// Watches the group of container `id` until [`Self::unwatch`], or until the group is gone. A guest without the
    /// memory controller has nothing to watch.
    pub fn watch(&self, id: &ContainerId, group: &Cgroup) {
        let path = group.directory().join(EVENTS);
        let Ok(file) = File::open(path) else { return };
        let queue = Arc::clone(&self.queue);
        let name = id.clone();
        let task = task::spawn("oom", async move {
            if let Err(error) = observe(&file, &queue, &name).await {
                tracing::debug!(container = %name, %error, "out-of-memory kills are not watched any more");
            }
        });
        self.watches().insert(id.clone(), task);
    }

    /// Ends the watch of a container that is removed. What has happened stays in the queue.
    pub fn unwatch(&self, id: &ContainerId) {
        self.watches().remove(id);
    }

    /// Waits for the next event. Nothing is lost when the future is dropped.
    pub async fn next(&self) -> ContainerId {
        loop {
            let news = self.queue.news.notified();
            match self.queue.pop() {
                Some(event) => return event,
                None => news.await,
            }
        }
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<ContainerId, Task<()>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the counter of kills. The kernel announces changes of the file as exceptional readiness.
async fn observe(file: &File, queue: &Queue, id: &ContainerId) -> io::Result<()> {
    let events = sys::watch::watch(file.try_clone()?.into(), Interest::PRIORITY)?;
    let mut seen = 0;
    loop {
        let mut text = [0; 512];
        let len = match rustix::io::pread(events.get_ref(), &mut text, 0) {
            Ok(len) => len,
            // The group was removed.
            Err(rustix::io::Errno::NODEV) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let kills = kills(&String::from_utf8_lossy(&text[..len]));
        if kills > seen {
            queue.push(id, kills - seen);
            seen = kills;
        }
        events.ready(Interest::PRIORITY).await?.clear_ready();
    }
}

/// How often the kernel has killed in the group and below it.
fn kills(text: &str) -> u64 {
    stats::table(text).get("oom_kill").copied().unwrap_or(0)
}
