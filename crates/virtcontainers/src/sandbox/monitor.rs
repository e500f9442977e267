//! Monitor: whether a sandbox is well, for whoever wants to be told the moment it is not.
//!
//! One task watches for all watchers of a process: the machine's and the helpers' ends through their pidfds, the agent
//! by asking it at an interval. It ends with the first failure, which each watcher is told once, or when nobody watches
//! any more. A sandbox that is stopped or deleted on purpose has not failed: its watchers are told the end without an
//! error. Nor has one that is paused, though its agent cannot answer.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::MissedTickBehavior};
use virtcontainers_agent_client::AgentErrorKind;
use virtcontainers_store::{StoreError, StoreExt as _};
use virtcontainers_sys::task::{self, Task};
use virtcontainers_types::ProxyKind;

use super::{Ending, Machine, Sandbox, SandboxPhase, SandboxRecord, Shared, Visit, connect, helper};
use crate::{error::Error, status::StatusReason};

/// How often the agent is asked (the reference document's `DefaultMonitorCheckInterval`).
pub const DEFAULT_MONITOR_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest interval: a guest has better things to do.
const SHORTEST: Duration = Duration::from_millis(10);
/// How long a verb that has the sandbox may take to record that the end of the machine was its doing.
const EXPLANATION: Duration = Duration::from_millis(500);
/// When it happened.
const WATCHED: &str = "while it was watched";

impl Sandbox {
    /// Watches it, asking its agent once a second (the reference document's `Monitor`).
    ///
    /// # Errors
    /// When it does not exist or has no machine.
    pub async fn monitor(&self) -> Result<Monitor, Error> {
        self.monitor_every(DEFAULT_MONITOR_CHECK_INTERVAL).await
    }

    /// [`Sandbox::monitor`] with another interval. While somebody watches already, that watcher's interval holds.
    ///
    /// # Errors
    /// As there.
    pub async fn monitor_every(&self, interval: Duration) -> Result<Monitor, Error> {
        let visit = Visit::look(self.shared())?;
        visit.record.machine()?;
        Ok(self.shared().watch_over(interval.max(SHORTEST)))
    }

    /// What is wrong with it, if anything: as its status tells, but its agent is asked, where it can answer, and given this
    /// long.
    ///
    /// # Errors
    /// When it does not exist or its record cannot be read.
    pub async fn probe(&self, within: Duration) -> Result<Option<StatusReason>, Error> {
        let shared = self.shared();
        let mut record = self.load()?;
        record.phase = record.observed();
        // A port that another process serves in itself is out of reach, and says nothing of the agent.
        let elsewhere =
            record.config.proxy_type == ProxyKind::KataBuiltIn && shared.kept_agent(&record).is_none();
        if let SandboxPhase::Ready(machine) | SandboxPhase::Running(machine) = &record.phase
            && !elsewhere
            && tokio::time::timeout(within, check(shared, machine)).await.is_err()
        {
            shared.note_silence(machine, true);
        }
        Ok(self.status().await?.reason)
    }
}

/// A watcher of a sandbox. Clones are watchers of their own.
#[derive(Debug, Clone)]
pub struct Monitor {
    verdict: watch::Receiver<Verdict>,
    told: bool,
    /// The last watcher takes the task along.
    _watch: Arc<Watch>,
}

/// The task that watches, owned by the watchers.
#[derive(Debug)]
pub(super) struct Watch {
    verdict: watch::Receiver<Verdict>,
    task: Task<()>,
}

/// What has become of the sandbox.
#[derive(Debug, Clone, Default)]
enum Verdict {
    #[default]
    Well,
    /// Ended without a failure.
    Over,
    Failed(Arc<Error>),
}

impl Monitor {
    /// Waits for the sandbox to fail: the error, once. `None` when there is nothing more to be told: the error was told,
    /// or the sandbox was stopped or deleted, or [`Sandbox::release`] ended the monitor. Cancel safe.
    pub async fn recv(&mut self) -> Option<Arc<Error>> {
        if self.told {
            return None;
        }
        let verdict = self.verdict.wait_for(|verdict| !matches!(verdict, Verdict::Well)).await;
        self.told = true;
        match verdict.as_deref() {
            Ok(Verdict::Failed(error)) => Some(Arc::clone(error)),
            // The task was ended.
            Ok(Verdict::Well | Verdict::Over) | Err(_) => None,
        }
    }
}

impl Shared {
    /// A watcher; the task is started with the first.
    fn watch_over(self: &Arc<Self>, interval: Duration) -> Monitor {
        let mut slot = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        let at_work = slot.upgrade().filter(|watch| !watch.task.is_finished());
        let watch = at_work.unwrap_or_else(|| {
            let (verdict, told) = watch::channel(Verdict::Well);
            let shared = Arc::clone(self);
            let task = task::spawn("monitor", async move {
                let seen = watch(&shared, interval).await;
                verdict.send_replace(seen.map_or(Verdict::Over, |error| Verdict::Failed(Arc::new(error))));
            });
            Arc::new(Watch { verdict: told, task })
        });
        *slot = Arc::downgrade(&watch);
        Monitor { verdict: watch.verdict.clone(), told: false, _watch: watch }
    }

    /// Keeps in mind whether the agent of this machine has answered.
    fn note_silence(&self, machine: &Machine, silent: bool) {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = silent.then(|| machine.clone());
    }

    /// Whether the agent did not answer when it was last asked. One that is paused cannot.
    pub(super) fn is_silent(&self, record: &SandboxRecord) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        match &record.phase {
            SandboxPhase::Ready(machine) | SandboxPhase::Running(machine) => silent.as_ref() == Some(machine),
            SandboxPhase::Creating { .. } | SandboxPhase::Paused(_) | SandboxPhase::Stopped(_) => false,
        }
    }

    /// Ends the monitor, for all its watchers.
    pub(super) fn end_monitor(&self) {
        let slot = std::mem::take(&mut *self.monitor.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(watch) = slot.upgrade() {
            watch.task.abort();
        }
    }
}

/// Watches until the sandbox fails, or ends without a failure: then `None`.
async fn watch(shared: &Arc<Shared>, interval: Duration) -> Option<Error> {
    let record = match load(shared) {
        Ok(record) => record?,
        Err(error) => return Some(error),
    };
    let machine = record.phase.machine()?.clone();
    let mut end = std::pin::pin!(connect::gone(shared, &machine));
    let mut loss = std::pin::pin!(helper::first_loss(&record));
    let mut turn = tokio::time::interval(interval);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let look = async {
            turn.tick().await;
            shared.cut_logs();
            check(shared, &machine).await
        };
        tokio::select! {
            biased;
            seen = &mut end => return post_mortem(shared, seen).await,
            lost = &mut loss => {
                // A helper goes with its machine.
                let Ok(seen) = tokio::time::timeout(EXPLANATION, &mut end).await else {
                    return Some(lost.into_error(shared, WATCHED));
                };
                return post_mortem(shared, seen).await;
            }
            health = look => match health {
                Health::Well => {}
                Health::Over => return None,
                Health::Ill(error) => {
                    // The machine may be on its way out, or have lost a helper, which would explain it.
                    let Ok(seen) = tokio::time::timeout(EXPLANATION, &mut end).await else {
                        let lost = load(shared).ok().flatten().as_ref().and_then(helper::dead);
                        return Some(lost.map_or(error, |lost| lost.into_error(shared, WATCHED)));
                    };
                    return post_mortem(shared, seen).await;
                }
            },
        }
    }
}

/// What one look has found.
enum Health {
    Well,
    Over,
    Ill(Error),
}

/// The record, unless there is none any more.
fn load(shared: &Shared) -> Result<Option<SandboxRecord>, Error> {
    match shared.runtime().store().load_as(shared.id()) {
        Ok(record) => Ok(Some(record)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Asks the agent, where it can answer.
async fn check(shared: &Arc<Shared>, machine: &Machine) -> Health {
    if let Some(settled) = by_record(shared, machine) {
        return settled;
    }
    let asked = ask(shared).await;
    shared.note_silence(machine, asked.is_err());
    let Err(error) = asked else { return Health::Well };
    // It may have been paused or stopped meanwhile.
    by_record(shared, machine).unwrap_or(Health::Ill(error))
}

/// What the record says without the agent being asked.
fn by_record(shared: &Shared, machine: &Machine) -> Option<Health> {
    let record = match load(shared) {
        Ok(Some(record)) => record,
        Ok(None) => return Some(Health::Over),
        Err(error) => return Some(Health::Ill(error)),
    };
    if record.phase.machine() != Some(machine) {
        return Some(Health::Over);
    }
    matches!(record.phase, SandboxPhase::Paused(_)).then_some(Health::Well)
}

async fn ask(shared: &Arc<Shared>) -> Result<(), Error> {
    let visit = Visit::look(shared)?;
    let kept = shared.kept_agent(&visit.record).is_some();
    match visit.agent().await?.check().await {
        // A connection that was made long ago may have ended for another reason than the agent's end.
        Err(error) if kept && error.kind() == AgentErrorKind::Disconnected => {
            shared.drop_agent();
            let answer = visit.agent().await?.check().await;
            visit.told(answer)
        }
        answer => visit.told(answer),
    }
}

/// Why the machine has ended: nothing to tell when somebody ended it, who then is about to say so in the record.
async fn post_mortem(shared: &Shared, seen: Result<(), Error>) -> Option<Error> {
    if let Err(unwatchable) = seen {
        return Some(unwatchable);
    }
    // Whoever ends it has the lease until it is on record. Not to get it in time is as good as to have it.
    drop(shared.runtime().store().lease_async(shared.id(), EXPLANATION).await);
    match load(shared) {
        Ok(Some(SandboxRecord {
            phase: SandboxPhase::Stopped(Ending::Asked | Ending::NeverBorn), ..
        }))
        | Ok(None) => None,
        Ok(Some(_died)) => Some(connect::guest_gone(shared, WATCHED)),
        Err(unreadable) => Some(unreadable),
    }
}
