//! Collect: what dead processes left of one sandbox, released as a stop or a delete would, for [`Runtime::gc`].
//!
//! Whoever has the lease is at work, and whatever he does is his. Nothing is waited for, and a sandbox whose machine lives
//! is left alone.
//!
//! [`Runtime::gc`]: crate::Runtime::gc

use std::sync::Arc;

use virtcontainers_store::{Lease, Listed, StoreError, StoreExt as _};
use virtcontainers_types::SandboxId;

use super::{
    Ending, Resource, Role, SandboxPhase, SandboxRecord, Session, Shared, StopMode, end_and_forget, release,
    stop::{self, Afterwards},
};
use crate::{
    container::{self, ContainerRecord},
    error::{Cause, Error, chain},
    runtime::{Runtime, gc::Findings},
};

/// Finds and, unless it is a dry run, removes what is left of one sandbox.
pub(crate) async fn collect(shared: &Arc<Shared>, found: &mut Findings) {
    let mut session = match Session::open_idle(shared).await {
        Ok(session) => session,
        Err(error) => return unreadable(shared, error, found).await,
    };
    broken_containers(&mut session, found).await;
    match &session.record.phase {
        // The lease is free, so nobody creates it, whether its creator lives or not.
        SandboxPhase::Creating { .. } | SandboxPhase::Stopped(Ending::NeverBorn) => {
            let mut left = labels(session.record.resources.iter());
            left.extend(strays(session.runtime(), session.id(), &session.record.resources));
            left.push("the record of a create that did not finish".to_owned());
            let outcome =
                if found.dry_run() { Ok(()) } else { end_and_forget(session, StopMode::Force).await };
            found.removed(shared.id().as_str(), left, outcome);
        }
        SandboxPhase::Stopped(_) => stopped(shared, session, found).await,
        SandboxPhase::Ready(_) | SandboxPhase::Running(_) | SandboxPhase::Paused(_) => {}
    }
}

/// What a machine that is gone has left; the record stays until somebody deletes it.
async fn stopped(shared: &Arc<Shared>, session: Session, found: &mut Findings) {
    let leftover = session.record.resources.iter().filter(|resource| !resource.outlives_machine());
    let mut left = labels(leftover);
    let strays = strays(session.runtime(), session.id(), &session.record.resources);
    let has_strays = !strays.is_empty();
    left.extend(strays);
    if left.is_empty() {
        return;
    }
    let outcome = if found.dry_run() {
        Ok(())
    } else {
        let runtime = session.runtime().clone();
        match stop::end(session, StopMode::Force, Afterwards::Kept).await {
            Ok(lease) if has_strays => {
                let ended = release::end_marked(&runtime, lease.id()).await;
                drop(lease);
                ended
            }
            ended => ended.map(drop),
        }
    };
    found.removed(shared.id().as_str(), left, outcome);
}

fn labels<'a>(resources: impl Iterator<Item = &'a Resource>) -> Vec<String> {
    resources.map(virtcontainers_store::Resource::label).collect()
}

/// Processes that carry the sandbox's mark and are not on its record.
fn strays(runtime: &Runtime, id: &SandboxId, resources: &[Resource]) -> Vec<String> {
    let is_machine = |held: &Resource| matches!(held, Resource::Machine { .. });
    let is_of =
        |held: &Resource, role: Role| held.role() == Some(role) || (role == Role::Vmm && is_machine(held));
    let unknown = Role::ALL.into_iter().filter(|role| !resources.iter().any(|held| is_of(held, *role)));
    let marked = |role: Role| {
        let found = role.mark(runtime.root(), id).find().unwrap_or_default();
        found.into_iter().map(move |process| format!("process {} ({})", role.as_str(), process.pid))
    };
    unknown.flat_map(marked).collect()
}

/// Containers whose records cannot be read. By force those with damaged ones are ended.
async fn broken_containers(session: &mut Session, found: &mut Findings) {
    const WHAT: &str = "the record of a container";
    let id = session.id().clone();
    // A guest whose processors stand still cannot be asked to let go of anything.
    let force = found.force() && !matches!(session.record.phase, SandboxPhase::Paused(_));
    let Ok(listed) = session.runtime().store().list_containers_as::<ContainerRecord>(&id) else { return };
    for Listed { name, record } in listed {
        let Err(error) = record else { continue };
        let why = format!("{name}: {}", chain(&error));
        match kind_of(&error) {
            Unreadable::Damaged if force => {
                let aside = match found.dry_run() {
                    true => Ok(None),
                    false => container::set_aside(session, &name).await,
                };
                found.set_aside(id.as_str(), WHAT, why, aside);
            }
            Unreadable::Damaged | Unreadable::Busy | Unreadable::Bare | Unreadable::Closed => {
                found.left(id.as_str(), WHAT, why);
            }
        }
    }
}

/// What a sandbox without a readable record is.
enum Unreadable {
    /// Somebody is at work, or it is gone.
    Busy,
    /// It has none yet, or no more.
    Bare,
    Damaged,
    /// A newer version's, or one that the disk does not give.
    Closed,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what else there may be is not to be touched")]
const fn kind_of(error: &StoreError) -> Unreadable {
    match error {
        StoreError::Busy { .. } | StoreError::NotFound { .. } => Unreadable::Busy,
        StoreError::NoRecord { .. } => Unreadable::Bare,
        StoreError::Corrupt { .. } | StoreError::WrongKind { .. } | StoreError::TooLarge { .. } => {
            Unreadable::Damaged
        }
        _ => Unreadable::Closed,
    }
}

/// A sandbox without a record that can be read.
async fn unreadable(shared: &Arc<Shared>, error: Error, found: &mut Findings) {
    let (runtime, id) = (shared.runtime(), shared.id());
    let Cause::Store(cause) = error.cause() else {
        return found.left(id.as_str(), "the sandbox", chain(&error));
    };
    match kind_of(cause) {
        Unreadable::Busy => return,
        Unreadable::Closed => return found.left(id.as_str(), "the record", chain(&error)),
        Unreadable::Bare | Unreadable::Damaged => {}
    }
    let Ok((live, lease)) = Session::seize(shared, std::time::Duration::ZERO).await else { return };
    // Nobody changes it from now on; somebody may have before.
    let damaged = match runtime.store().load_as::<SandboxRecord>(id).as_ref().map_err(kind_of) {
        Err(Unreadable::Damaged) => true,
        Err(Unreadable::Bare) => false,
        Ok(_) | Err(Unreadable::Busy | Unreadable::Closed) => return,
    };
    match Role::Vmm.mark(runtime.root(), id).find() {
        Ok(vmms) if vmms.is_empty() || !damaged || found.force() => {}
        Ok(vmms) => {
            let pids: Vec<_> = vmms.iter().map(|vmm| vmm.pid.to_string()).collect();
            let why = format!(
                "{}; its virtual machine lives (process {}): collect by force, or delete the sandbox by force, to end it",
                chain(&error),
                pids.join(", ")
            );
            return found.left(id.as_str(), "the record", why);
        }
        Err(unseen) => return found.left(id.as_str(), "the record", unseen.to_string()),
    }
    if damaged {
        let aside = if found.dry_run() { Ok(None) } else { set_aside(runtime, lease).await.map(Some) };
        found.set_aside(id.as_str(), "the record", chain(&error), aside);
    } else {
        let left = vec!["the directory of a create or a delete that did not finish".to_owned()];
        let outcome = if found.dry_run() { Ok(()) } else { forget(runtime, lease).await };
        found.removed(id.as_str(), left, outcome);
    }
    drop(live);
}

async fn set_aside(runtime: &Runtime, lease: Lease) -> Result<std::path::PathBuf, Error> {
    release::salvage(runtime, lease.id()).await?;
    Ok(runtime.store().set_aside(lease)?)
}

async fn forget(runtime: &Runtime, lease: Lease) -> Result<(), Error> {
    release::salvage(runtime, lease.id()).await?;
    Ok(runtime.store().forget(lease)?)
}

/// Ends the processes and removes the control groups and mounts of a sandbox that is in no list any more. Its id is claimed meanwhile, so
/// that no create is met.
pub(crate) async fn collect_nameless(
    runtime: &Runtime,
    id: &SandboxId,
    left: Vec<String>,
    found: &mut Findings,
) {
    if found.dry_run() {
        return found.removed(id.as_str(), left, Ok(()));
    }
    let outcome = match runtime.store().claim(id) {
        Ok(lease) => forget(runtime, lease).await,
        // Somebody creates it just now, and these processes may be his.
        Err(StoreError::AlreadyExists { .. }) => return,
        Err(error) => Err(error.into()),
    };
    found.removed(id.as_str(), left, outcome);
}
