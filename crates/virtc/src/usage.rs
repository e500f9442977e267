//! What sandboxes and containers use, looked at again and again: shares of processor time come from two looks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use virtcontainers::{
    ContainerId, ContainerStats, Runtime, Sandbox, SandboxId, SandboxState, SandboxStats, SandboxStatus,
};

use crate::error::CliError;

/// How long one sandbox may keep the others waiting. Its row is shown without figures then.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at sandboxes, and remembers the look before.
#[derive(Debug)]
pub(crate) struct Observer {
    runtime: Runtime,
    /// Kept from look to look, with their connections.
    sandboxes: HashMap<SandboxId, Sandbox>,
    before: HashMap<String, Reading>,
    now: HashMap<String, Reading>,
}

/// Processor time that was used until a moment, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    used: u64,
}

/// A sandbox at a moment.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) name: String,
    /// None when its record cannot be read.
    pub(crate) status: Option<SandboxStatus>,
    /// None when it does not run, or does not answer.
    pub(crate) stats: Option<(SandboxStats, Vec<(ContainerId, ContainerStats)>)>,
    at: Instant,
}

impl Observer {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { runtime, sandboxes: HashMap::new(), before: HashMap::new(), now: HashMap::new() }
    }

    /// All sandboxes, or those that are wanted and there, by name.
    pub(crate) async fn look(&mut self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Observed>, CliError> {
        self.before = std::mem::take(&mut self.now);
        let listed = self.runtime.list_sandboxes().await?;
        let listed: Vec<_> = listed
            .into_iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, status)| (name, status.ok()))
            .collect();
        for status in listed.iter().filter_map(|(_, status)| status.as_ref()) {
            if !self.sandboxes.contains_key(&status.id)
                && let Ok(sandbox) = self.runtime.fetch_sandbox(&status.id).await
            {
                self.sandboxes.insert(status.id.clone(), sandbox);
            }
        }
        self.sandboxes.retain(|id, _| listed.iter().any(|(name, _)| name == id.as_str()));
        let looks = listed.into_iter().map(|(name, status)| {
            let sandbox = status
                .as_ref()
                .filter(|status| is_there(status.state))
                .and_then(|status| self.sandboxes.get(&status.id));
            observe(name, status, sandbox)
        });
        Ok(join_all(looks).await)
    }

    /// The share of one processor that something used since the look before, in percent; none at the first look.
    pub(crate) fn percent(&mut self, name: &str, observed: &Observed, used: u64) -> Option<f64> {
        let reading = Reading { at: observed.at, used };
        self.now.insert(name.to_owned(), reading);
        let before = self.before.get(name)?;
        let passed = reading.at.saturating_duration_since(before.at).as_nanos();
        (passed > 0).then(|| used.saturating_sub(before.used) as f64 * 100.0 / passed as f64)
    }
}

async fn observe(name: String, status: Option<SandboxStatus>, sandbox: Option<&Sandbox>) -> Observed {
    let stats = match sandbox {
        Some(sandbox) => match tokio::time::timeout(PATIENCE, sandbox.stats()).await {
            Ok(Ok(stats)) => Some(stats),
            Ok(Err(error)) => {
                tracing::debug!(%error, sandbox = name, "no statistics");
                None
            }
            Err(_) => {
                tracing::debug!(sandbox = name, "no statistics within {PATIENCE:?}");
                None
            }
        },
        None => None,
    };
    Observed { name, status, stats, at: Instant::now() }
}

/// Whether there is a machine to look at.
const fn is_there(state: SandboxState) -> bool {
    match state {
        SandboxState::Ready | SandboxState::Running | SandboxState::Paused => true,
        SandboxState::Creating | SandboxState::Stopped => false,
    }
}

/// A share of a processor, for people.
pub(crate) fn percent_text(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}%"))
}
