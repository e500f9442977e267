//! `virtc netmon` (hidden): the network monitor of a sandbox. It watches the sandbox's network namespace, and at each
//! change brings the guest in step with it. It ends with the sandbox's machine, or when it is asked to.

use std::time::Duration;

use tokio::time::Instant;
use virtcontainers::{ErrorKind, Runtime, Sandbox, SandboxId, SandboxState};
use virtcontainers_network::{NetNs, watch::Changes};
use virtcontainers_sys::process::{PidFd, ProcessRef};

use super::open;
use crate::{cli::Global, error::CliError, exit::Exit, signals::Heard};

/// After a sync that failed: another process works on the sandbox, or the guest did not take a change.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
const SELDOM: Duration = Duration::from_secs(60);

pub(super) async fn run(global: &Global, sandbox: &str) -> Result<Exit, CliError> {
    let mut heard = Heard::ending()?;
    let (_, runtime) = open(global)?;
    let id = SandboxId::new(sandbox).map_err(|error| CliError::Usage(error.to_string()))?;
    tokio::select! {
        outcome = watch(&runtime, &id) => outcome,
        _signal = heard.next() => Ok(()),
    }?;
    Ok(Exit::Done)
}

/// Until the machine ends.
async fn watch(runtime: &Runtime, id: &SandboxId) -> Result<(), CliError> {
    let sandbox = runtime.fetch_sandbox(id).await?;
    let path = sandbox.netns_path().await?;
    let path = path.ok_or_else(|| CliError::Usage(format!("sandbox {id} has no network to be watched")))?;
    let failed = |source: virtcontainers_network::watch::WatchError| CliError::Io {
        what: format!("cannot watch the network namespace {}", path.display()),
        source: std::io::Error::other(source),
    };
    let ns = NetNs::open(&path).map_err(|error| failed(error.into()))?;
    let mut changes = Changes::open(&ns).await.map_err(failed)?;
    drop(ns);
    let Some(machine) = machine(&sandbox).await? else { return Ok(()) };
    // What changed before the watch began is found by a first look.
    let mut pause = AGAIN;
    let mut look_at = Some(Instant::now());
    loop {
        tokio::select! {
            ended = machine.exited() => {
                return ended.map_err(|source| CliError::Io { what: format!("cannot watch the machine of sandbox {id}"), source });
            }
            change = changes.next() => change.map_err(failed)?,
            () = tokio::time::sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
        }
        look_at = match sandbox.sync_network().await {
            Ok(done) => {
                tracing::debug!(sandbox = %id, ?done, "in step");
                pause = AGAIN;
                None
            }
            Err(_) if is_over(runtime, id).await? => return Ok(()),
            Err(error) => {
                tracing::warn!(sandbox = %id, %error, "cannot bring the guest in step with its network");
                let then = Instant::now() + pause;
                pause = (pause * 2).min(SELDOM);
                Some(then)
            }
        };
    }
}

/// A hold on the machine's process; none when it has ended.
async fn machine(sandbox: &Sandbox) -> Result<Option<PidFd>, CliError> {
    let Some(pid) = sandbox.status().await?.vmm_pid else { return Ok(None) };
    match ProcessRef::of(pid).and_then(|process| process.open()) {
        Ok(hold) => Ok(hold),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Io { what: format!("cannot watch process {pid}"), source }),
    }
}

async fn is_over(runtime: &Runtime, id: &SandboxId) -> Result<bool, CliError> {
    match runtime.sandbox_status(id).await {
        Ok(status) => Ok(status.state == SandboxState::Stopped),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}
