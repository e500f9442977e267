//! Status: the record, set against what the host shows. No lease, no dialling.

use std::path::Path;

use virtcontainers_store::{Listed, StoreExt as _};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::SandboxId;

use super::{Resource, SandboxRecord, cgroups, helper};
use crate::{
    cgroup::Cgroups,
    container::{self, ContainerRecord},
    error::{Error, chain},
    runtime::Runtime,
    status::{BrokenContainer, HelperProcess, SandboxStatus},
};

/// The status of a sandbox.
pub(crate) fn status(runtime: &Runtime, id: &SandboxId) -> Result<SandboxStatus, Error> {
    let record: SandboxRecord = runtime.store().load_as(id)?;
    whole(runtime, record)
}

/// The status of a sandbox whose record is at hand.
pub(super) fn whole(runtime: &Runtime, record: SandboxRecord) -> Result<SandboxStatus, Error> {
    let (id, phase) = (record.id.clone(), record.observed());
    let mut containers = Vec::new();
    let mut broken_containers = Vec::new();
    for Listed { name, record } in runtime.store().list_containers_as::<ContainerRecord>(&record.id)? {
        match record {
            Ok(record) => containers.push(container::status_of(runtime, &id, record, &phase)),
            Err(error) => broken_containers.push(BrokenContainer { name, reason: chain(&error) }),
        }
    }
    let vmm = record.phase.machine().and_then(|machine| machine.vm.process).filter(ProcessRef::is_alive);
    let helper = |resource: &Resource| {
        let (role, process) = resource.living_daemon()?;
        Some(HelperProcess { role: role.as_str().to_owned(), pid: process.pid })
    };
    let groups = cgroups::of(&record.resources);
    Ok(SandboxStatus {
        cgroups: groups.into_iter().flat_map(Cgroups::dirs).map(Path::to_owned).collect(),
        lacking_cgroups: groups.map(|groups| groups.lacking().to_vec()).unwrap_or_default(),
        state: phase.state(),
        reason: match phase.machine() {
            Some(_) => helper::reason(&record),
            None => phase.reason(),
        },
        hypervisor: record.config.hypervisor_type,
        agent: record.config.agent_type,
        transport: record.transport,
        hostname: record.hostname,
        created: record.created,
        vmm_pid: vmm.map(|process| process.pid),
        processes: record.resources.iter().filter_map(helper).collect(),
        containers,
        broken_containers,
        annotations: record.config.annotations,
        hypervisor_config: record.config.hypervisor_config,
        id: record.id,
    })
}
