//! Status: the container's record, set against its sandbox's and against what its shim has left.

use virtcontainers_store::StoreExt as _;
use virtcontainers_types::{ContainerId, ExecId, SandboxId};

use super::{ContainerRecord, shim};
use crate::{
    error::Error,
    runtime::Runtime,
    sandbox::{Sandbox, SandboxPhase},
    status::ContainerStatus,
};

pub(super) fn status(sandbox: &Sandbox, id: &ContainerId) -> Result<ContainerStatus, Error> {
    let phase = sandbox.load()?.observed();
    let record: ContainerRecord = sandbox.runtime().store().load_container_as(sandbox.id(), id)?;
    Ok(status_of(sandbox.runtime(), sandbox.id(), record, &phase))
}

/// The status of a container whose sandbox is in `phase`.
pub(crate) fn status_of(
    runtime: &Runtime,
    sandbox: &SandboxId,
    mut record: ContainerRecord,
    phase: &SandboxPhase,
) -> ContainerStatus {
    let dir = shim::dir(runtime, sandbox, &record.id);
    record.observe(&dir, phase);
    let phase = record.phase;
    ContainerStatus {
        state: phase.state(),
        exit_code: phase.exit_code(),
        created: record.created,
        started: phase.started(),
        ended: phase.when_ended(),
        pid: phase.started().and_then(|_| shim::living(&dir, &ExecId::from(&record.id))).map(|shim| shim.pid),
        resources: record.config.resources,
        terminal: record.config.cmd.interactive,
        args: record.config.cmd.args,
        annotations: record.config.annotations,
        rootfs: record.rootfs,
        id: record.id,
    }
}
