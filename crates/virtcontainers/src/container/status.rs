//! Status: the container's record, set against its sandbox's.

use virtcontainers_store::StoreExt as _;
use virtcontainers_types::ContainerId;

use super::ContainerRecord;
use crate::{
    error::Error,
    sandbox::{Sandbox, SandboxPhase},
    status::ContainerStatus,
};

pub(super) fn status(sandbox: &Sandbox, id: &ContainerId) -> Result<ContainerStatus, Error> {
    let phase = sandbox.load()?.phase.observed();
    let record: ContainerRecord = sandbox.runtime().store().load_container_as(sandbox.id(), id)?;
    Ok(status_of(record, &phase))
}

/// The status of a container whose sandbox is in `sandbox`.
pub(crate) fn status_of(record: ContainerRecord, sandbox: &SandboxPhase) -> ContainerStatus {
    let phase = record.phase.within(sandbox);
    ContainerStatus {
        state: phase.state(),
        exit_code: phase.exit_code(),
        created: record.created,
        started: phase.started(),
        args: record.config.cmd.args,
        annotations: record.config.annotations,
        rootfs: record.rootfs,
        id: record.id,
    }
}
