//! The processes that serve a machine: watched as children by the create that starts them, and by their records ever
//! after. A machine without one of them hangs sooner or later, so whoever waits for it waits for their ends too.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::select_all;
use virtcontainers_agent_client::{Agent, guest_text, proxy::ProxyProcess};
use virtcontainers_device::Daemon;
use virtcontainers_sys::{
    process::ProcessRef,
    program,
    spawn::describe_exit,
    task::{self, Task},
};

use super::{
    SandboxRecord, Shared,
    resource::{Resource, Role},
};
use crate::{
    error::{Cause, Error},
    runtime::Runtime,
    status::StatusReason,
};

/// The program that is every helper of ours, where it is a program of its own.
const PROGRAM: &str = "vc-helper";
/// The program that is every helper of ours beside what else it is.
const TOOL: &str = "virtc";

/// The program of a helper of ours: the configured one, the runtime's own, `vc-helper` beside the program of this
/// process or on `PATH`, or `virtc` if this process is one.
pub(crate) fn helper_program(
    runtime: &Runtime,
    configured: Option<&Path>,
    what: &'static str,
) -> Result<PathBuf, Error> {
    if let Some(program) = configured.or_else(|| runtime.helper_program()) {
        return Ok(program.to_owned());
    }
    let this = std::env::current_exe().ok();
    let beside = this.as_ref().and_then(|this| Some(this.parent()?.join(PROGRAM)));
    let this = this.filter(|this| this.file_name().is_some_and(|name| name == TOOL));
    let near = beside.into_iter().chain(this).find(|program| program::is_executable(program));
    let found = near.or_else(|| program::find(Path::new(PROGRAM)));
    let missing = Cause::MissingProgram {
        program: what,
        remedy: "install vc-helper beside the program of this process or on PATH, or name it or virtc in the \
                 configuration's path or with Runtime::builder().helper_program()",
    };
    Ok(found.ok_or(missing)?)
}

/// `virtc`: this process's own program, the one beside it, or the one on `PATH`.
pub(super) fn tool() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|this| Some(this.parent()?.join(TOOL)));
    let beside = beside.filter(|program| program::is_executable(program));
    beside.or_else(|| program::find(Path::new(TOOL)))
}

/// Whether a program is the small one, which has nothing of this library in it.
pub(super) fn is_small(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == PROGRAM)
}

/// A helper process that this process has just started. To drop it leaves it running.
pub(super) struct Helper {
    role: Role,
    child: Child,
}

enum Child {
    Daemon(Daemon),
    Proxy(ProxyProcess),
}

/// A helper process that has ended.
pub(super) struct Ended {
    role: Role,
    how: String,
    /// Whether a signal ended it: then it did not just follow its VMM.
    pub(super) by_signal: bool,
    /// Whether it is known to have failed, by a signal or an exit code.
    pub(super) failed: bool,
}

impl Helper {
    pub(super) const fn daemon(role: Role, daemon: Daemon) -> Self {
        Self { role, child: Child::Daemon(daemon) }
    }

    pub(super) const fn proxy(process: ProxyProcess) -> Self {
        Self { role: Role::Proxy, child: Child::Proxy(process) }
    }

    pub(super) fn process(&self) -> ProcessRef {
        match &self.child {
            Child::Daemon(daemon) => daemon.record().process,
            Child::Proxy(proxy) => proxy.record().process,
        }
    }

    async fn ended(&mut self) -> Ended {
        let status = match &mut self.child {
            Child::Daemon(daemon) => daemon.wait().await.map_err(|error| error.to_string()),
            Child::Proxy(proxy) => proxy.exited().await.map_err(|error| error.to_string()),
        };
        let by_signal = status.as_ref().is_ok_and(|status| status.code().is_none());
        let failed = status.as_ref().is_ok_and(|status| !status.success());
        let how = status.map_or_else(|error| error, describe_exit);
        Ended { role: self.role, how, by_signal, failed }
    }
}

impl Ended {
    /// The error that tells of it, with the end of its log.
    pub(super) fn into_error(self, shared: &Shared, when: &'static str) -> Error {
        let Self { role, how, .. } = self;
        let log = shared.runtime().sandbox_dir(shared.id()).join(format!("{}.log", role.as_str()));
        let said = guest_text(&virtcontainers_device::log_tail(&log));
        let said = if said.is_empty() { "(nothing)".to_owned() } else { said };
        Cause::HelperGone { id: shared.id().clone(), role: role.as_str(), how, when, log, said }.into()
    }
}

/// Resolves when the first of these children has ended.
pub(super) async fn first_end(helpers: &mut [Helper]) -> Ended {
    if helpers.is_empty() {
        return std::future::pending().await;
    }
    select_all(helpers.iter_mut().map(|helper| Box::pin(helper.ended()))).await.0
}

/// Resolves when the first of a sandbox's recorded helpers has ended.
pub(super) async fn first_loss(record: &SandboxRecord) -> Ended {
    let watches: Vec<_> = props(record).map(|helper| Box::pin(loss(helper))).collect();
    if watches.is_empty() {
        return std::future::pending().await;
    }
    select_all(watches).await.0
}

async fn loss((role, process): (Role, ProcessRef)) -> Ended {
    match process.open() {
        Ok(Some(pidfd)) => match pidfd.exited().await {
            Ok(()) => unseen(role),
            Err(error) => unwatchable(role, &error).await,
        },
        Ok(None) => unseen(role),
        Err(error) => unwatchable(role, &error).await,
    }
}

/// A helper that cannot be watched is not taken for dead.
async fn unwatchable(role: Role, error: &std::io::Error) -> Ended {
    tracing::warn!(role = role.as_str(), %error, "cannot watch a helper process");
    std::future::pending().await
}

fn unseen(role: Role) -> Ended {
    Ended { role, how: "nobody saw how".to_owned(), by_signal: false, failed: false }
}

/// The helpers on record that the machine cannot do without. The network monitor is none of them.
fn props(record: &SandboxRecord) -> impl Iterator<Item = (Role, ProcessRef)> {
    record.resources.iter().filter_map(Resource::daemon).filter(|(role, _)| *role != Role::Netmon)
}

/// The first helper on record that is dead and that the machine cannot do without.
pub(super) fn dead(record: &SandboxRecord) -> Option<Ended> {
    props(record).find(|(_, process)| !process.is_alive()).map(|(role, _)| unseen(role))
}

/// What status tells of a sandbox that runs on without one of its helpers.
pub(super) fn reason(record: &SandboxRecord) -> Option<StatusReason> {
    let mut helpers = record.resources.iter().filter_map(Resource::daemon);
    let dead = helpers.find(|(_, process)| !process.is_alive());
    dead.map(|(role, _)| StatusReason::HelperDied { role: role.as_str() })
}

/// The helpers whose loss is the end of the machine: the guest's device waits for them for ever, and another process
/// cannot take their place. A proxy, a shim and a network monitor can be started anew.
fn vital(record: &SandboxRecord) -> impl Iterator<Item = (Role, ProcessRef)> {
    let is_vital = |role: &Role| matches!(role, Role::Virtiofsd | Role::VsockDaemon);
    record.resources.iter().filter_map(Resource::daemon).filter(move |(role, _)| is_vital(role))
}

/// The role of a dead helper whose loss is the end of the machine.
pub(super) fn lost(record: &SandboxRecord) -> Option<Role> {
    vital(record).find(|(_, process)| !process.is_alive()).map(|(role, _)| role)
}

/// Breaks an agent's connection when a vital helper dies: a guest that has lost its files may leave a call unanswered for
/// ever. `None` when there is no such helper.
pub(super) fn tether(record: &SandboxRecord, agent: &Arc<dyn Agent>) -> Option<Task<()>> {
    let watches: Vec<_> = vital(record).map(|helper| Box::pin(loss(helper))).collect();
    let agent = Arc::downgrade(agent);
    let watch = async move {
        select_all(watches).await;
        if let Some(agent) = agent.upgrade() {
            agent.disconnect();
        }
    };
    vital(record).next().map(|_| task::spawn("tether", watch))
}
