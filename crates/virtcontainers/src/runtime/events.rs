//! Events: what becomes of the sandboxes under a root directory, whoever makes it so.
//!
//! Nobody sends events: they are read off the records, which inotify tells to have changed, and off the ends of virtual
//! machines. So what any process does is seen, without a daemon. Changes that follow each other faster than they are
//! looked at are told in the order in which they must have happened. When the kernel has lost count of changes, that is
//! told too, and everything is looked at anew.

mod diff;
mod oom;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde::Serialize;
use virtcontainers_store::StoreError;
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::{ContainerId, SandboxId, SandboxState};

use self::{
    diff::Seen,
    oom::OomWatch,
    watch::{Change, Watch},
};
use super::Runtime;
use crate::{
    error::{Cause, Error},
    sandbox,
    time::Timestamp,
};

/// What events are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventOptions {
    /// Ask the agents of sandboxes that run for containers that lose a process for want of memory. Each such event is
    /// told to one listener on the host, so let one process ask.
    pub oom: bool,
    /// Tell first what is there already, as if it came to be now.
    pub existing: bool,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// When: the time on record where there is one, else when it was seen.
    pub time: Timestamp,
    /// To which sandbox; none for [`EventKind::Lost`].
    pub sandbox: Option<SandboxId>,
    /// To which container of it; none when it is the sandbox itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What can happen to a sandbox or a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// It was created.
    Created,
    /// It was started.
    Started,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// Its annotations or its limits were changed.
    Updated,
    /// It was stopped, or has ended.
    Stopped {
        /// The exit code of a container's command, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
    },
    /// It was deleted.
    Deleted,
    /// It lost a process for want of memory.
    Oom,
    /// Changes came faster than they were taken, and some may have been missed. What follows is right again.
    Lost,
}

impl EventKind {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Updated => "updated",
            Self::Stopped { .. } => "stopped",
            Self::Deleted => "deleted",
            Self::Oom => "oom",
            Self::Lost => "lost",
        }
    }
}

impl Runtime {
    /// Listens to what becomes of the sandboxes under the root directory, from now on.
    ///
    /// # Errors
    /// With a store of the caller's own, whose records are in no files; when the host has no inotify watch left.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn events(&self, options: EventOptions) -> Result<Events, Error> {
        if !self.0.records_in_files {
            return Err(Cause::NoEvents.into());
        }
        let watch = Watch::new(self.root().join("sandboxes"))?;
        let oom = options.oom.then(|| OomWatch::new(self.clone()));
        let (seen, queue, ends) = Default::default();
        let mut events = Events { runtime: self.clone(), watch, oom, seen, queue, ends };
        events.look_at_all()?;
        if !options.existing {
            events.queue.clear();
        }
        Ok(events)
    }
}

/// What becomes of sandboxes. As long as nobody takes events, the kernel keeps the changes, up to its bound.
pub struct Events {
    runtime: Runtime,
    watch: Watch,
    oom: Option<OomWatch>,
    /// What was told so far.
    seen: BTreeMap<SandboxId, Seen>,
    /// What is still to be told.
    queue: VecDeque<Event>,
    /// The ends of virtual machines.
    ends: FuturesUnordered<BoxFuture<'static, SandboxId>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("root", &self.runtime.root()).finish_non_exhaustive()
    }
}

impl Events {
    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// When the records cannot be watched any more.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            let oom = async {
                match &mut self.oom {
                    Some(oom) => oom.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changes = self.watch.changes() => self.take(changes?)?,
                Some(ended) = self.ends.next(), if !self.ends.is_empty() => self.look_at(&ended)?,
                (sandbox, container) = oom => {
                    let (sandbox, container) = (Some(sandbox), Some(container));
                    return Ok(Event { time: Timestamp::now(), sandbox, container, kind: EventKind::Oom });
                }
            }
        }
    }

    /// The events as a stream, which ends after its first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Error>> + Send {
        futures::stream::unfold(Some(self), |events| async {
            let mut events = events?;
            match events.next().await {
                Ok(event) => Some((Ok(event), Some(events))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    fn take(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        for change in changes {
            match change {
                Change::Of(sandbox) => self.look_at(&sandbox)?,
                Change::Lost => {
                    let (sandbox, container) = (None, None);
                    self.queue.push_back(Event {
                        time: Timestamp::now(),
                        sandbox,
                        container,
                        kind: EventKind::Lost,
                    });
                    self.look_at_all()?;
                }
            }
        }
        Ok(())
    }

    fn look_at_all(&mut self) -> Result<(), Error> {
        let there = self.watch.sandboxes()?;
        let known: BTreeSet<_> = self.seen.keys().cloned().chain(there).collect();
        known.iter().try_for_each(|sandbox| self.look_at(sandbox))
    }

    /// Compares a sandbox with what was told of it.
    fn look_at(&mut self, id: &SandboxId) -> Result<(), Error> {
        // Watched before it is read, so that no change is missed between the two.
        self.watch.sandbox(id)?;
        let now = match sandbox::status_of(&self.runtime, id) {
            Ok(status) => Some(status),
            Err(error) if matches!(error.cause(), Cause::Store(StoreError::NotFound { .. })) => None,
            // It is being created, or cannot be read: status tells.
            Err(_unreadable) => return Ok(()),
        };
        let before = self.seen.remove(id);
        let now = now.map(|status| (status.vmm_pid, Seen::from(status)));
        diff::tell(id, before.as_ref(), now.as_ref().map(|(_, now)| now), &mut self.queue);
        let Some((vmm, now)) = now else { return Ok(()) };
        if let Some(vmm) =
            vmm.filter(|_| before.as_ref().is_none_or(|before| !before.same_as(&now) || !before.is_up()))
        {
            self.watch_end(id.clone(), vmm);
        }
        if let Some(oom) = self.oom.as_mut().filter(|_| now.state() == SandboxState::Running) {
            oom.watch(id);
        }
        self.seen.insert(id.clone(), now);
        Ok(())
    }

    /// Looks again when a virtual machine's process has ended, which no record may tell.
    fn watch_end(&mut self, id: SandboxId, pid: u32) {
        let Ok(Some(process)) = ProcessRef::of(pid).and_then(|process| process.open()) else { return };
        let end = async move {
            if let Err(error) = process.exited().await {
                tracing::warn!(%id, %error, "cannot watch the end of a virtual machine");
                std::future::pending::<()>().await;
            }
            id
        };
        self.ends.push(end.boxed());
    }
}
