//! The control groups of a sandbox, in the steps of its verbs.

use oci_spec::runtime::LinuxResources;
use virtcontainers_store::{Ledger, Transaction};
use virtcontainers_sys::{cgroup as groups, process::Mark};

use super::{Resource, Role, SandboxRecord, Session, Shared};
use crate::{
    cgroup::{self, Cgroups, Limits},
    config::SandboxConfig,
    container::{ContainerRecord, create::flat},
    error::{Cause, Error},
};

/// Makes them, before any process is started.
pub(super) async fn make<L: Ledger<Resource>>(
    steps: &mut Transaction<Resource, L>,
    shared: &Shared,
    config: &SandboxConfig,
) -> Result<(), Error> {
    let hierarchies = match groups::hierarchies() {
        Ok(hierarchies) => hierarchies,
        Err(source) if cgroup::is_asked(config) => {
            return Err(Cause::Host { what: "find the control groups", source }.into());
        }
        Err(_) => Vec::new(),
    };
    let planned = cgroup::plan(config, shared.runtime().root(), shared.id(), &hierarchies);
    let intent = Resource::Cgroups(Box::new(planned.clone()));
    let made = steps.step("cgroups", intent, async { planned.make() }).await.map_err(flat)?;
    Ok(steps.amend(Resource::Cgroups(Box::new(made)))?)
}

/// Those of a sandbox that holds these resources.
pub(super) fn of(held: &[Resource]) -> Option<&Cgroups> {
    held.iter().find_map(Resource::cgroups)
}

/// The mark of a process that is to be started: it starts in its control groups.
pub(crate) fn mark(shared: &Shared, held: &[Resource], role: Role) -> Mark {
    let within = of(held).map(|cgroups| cgroups.of(role)).unwrap_or_default();
    role.mark(shared.runtime().root(), shared.id()).within(within)
}

/// Gives them the limits of these containers together.
pub(super) fn limit<'a>(
    config: &SandboxConfig,
    held: &[Resource],
    containers: impl Iterator<Item = Option<&'a LinuxResources>>,
) -> Result<(), Error> {
    let Some(cgroups) = of(held) else { return Ok(()) };
    cgroup::set_limits(cgroups, &Limits::of(config, containers))
}

/// The same for a sandbox with the containers that are on record, save for one that comes to be or changes.
pub(crate) fn limit_session(session: &Session, changed: Option<&ContainerRecord>) -> Result<(), Error> {
    let SandboxRecord { config, resources, .. } = &session.record;
    if !of(resources).is_some_and(Cgroups::is_asked) {
        return Ok(());
    }
    // What cannot be read is left to status to tell.
    let mut records: Vec<_> = session.containers()?.into_iter().filter_map(Result::ok).collect();
    if let Some(changed) = changed {
        records.retain(|record| record.id != changed.id);
        records.push(changed.clone());
    }
    limit(config, resources, records.iter().map(|record| record.config.resources.as_ref()))
}
