//! Stats: what a sandbox uses on the host, and its containers in the guest.

use futures::future::join_all;
use virtcontainers_agent_client::AgentErrorKind;
use virtcontainers_store::StoreExt as _;
use virtcontainers_sys::usage::Usage;
use virtcontainers_types::{
    ContainerId, ContainerState, SandboxState,
    stats::{
        CgroupStats, ContainerStats, CpuStats, CpuUsage, MemoryData, MemoryStats, PidsStats, SandboxStats,
    },
};

use super::{Resource, Sandbox, SandboxRecord, Visit, cgroups};
use crate::{
    cgroup::{self, Cgroups},
    container::ContainerRecord,
    error::Error,
    state::SandboxOperation,
};

impl Sandbox {
    /// What it uses (the reference document's `StatsSandbox`): its processes on the host, the virtual machine's and its
    /// helpers'; and what each container of it that runs uses within the guest. The guest of a paused sandbox cannot be
    /// asked, so no container is told of then; nor is one that the agent cannot count, while it counts others or none.
    ///
    /// # Errors
    /// When it has no machine, or its agent does not answer.
    pub async fn stats(&self) -> Result<(SandboxStats, Vec<(ContainerId, ContainerStats)>), Error> {
        let visit = Visit::look(self.shared())?;
        if visit.record.phase.state() == SandboxState::Paused {
            return Ok((on_host(&visit.record), Vec::new()));
        }
        visit.record.admit(SandboxOperation::UseContainer, "measure")?;
        let containers = in_guest(self, &visit).await?;
        Ok((on_host(&visit.record), containers))
    }
}

/// What its control groups have counted; where the host has no group that counts, what the processes on record use.
fn on_host(record: &SandboxRecord) -> SandboxStats {
    let (mut counted, read) = cgroups::of(&record.resources).map(Cgroups::stats).unwrap_or_default();
    let all = cgroup::Read { cpu: true, memory: true, pids: true };
    if read != all {
        let CgroupStats { cpu_stats, memory_stats, pids_stats, .. } = of_processes(record);
        if !read.cpu {
            counted.cpu_stats = cpu_stats;
        }
        if !read.memory {
            counted.memory_stats = memory_stats;
        }
        if !read.pids {
            counted.pids_stats = pids_stats;
        }
    }
    SandboxStats { cgroup_stats: counted, cpus: record.config.hypervisor_config.num_vcpus }
}

/// What the processes on record use.
fn of_processes(record: &SandboxRecord) -> CgroupStats {
    let vmm = record.phase.machine().and_then(|machine| machine.vm.process);
    let helpers = record.resources.iter().filter_map(Resource::daemon).map(|(_, process)| process);
    let used = vmm.into_iter().chain(helpers).map(Usage::of_tree).fold(Usage::default(), Usage::plus);
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let cpu_usage = CpuUsage {
        total_usage: nanos(used.user + used.system),
        usage_in_kernelmode: nanos(used.system),
        usage_in_usermode: nanos(used.user),
        ..CpuUsage::default()
    };
    let usage =
        MemoryData { usage: used.resident_bytes, limit: MemoryData::UNLIMITED, ..MemoryData::default() };
    CgroupStats {
        cpu_stats: CpuStats { cpu_usage, ..CpuStats::default() },
        memory_stats: MemoryStats { usage, ..MemoryStats::default() },
        pids_stats: PidsStats { current: used.threads, limit: 0 },
        ..CgroupStats::default()
    }
}

/// What the containers that run use, all asked at once.
async fn in_guest(sandbox: &Sandbox, visit: &Visit) -> Result<Vec<(ContainerId, ContainerStats)>, Error> {
    let listed = sandbox.runtime().store().list_containers_as::<ContainerRecord>(sandbox.id())?;
    // What cannot be read is left to status to tell.
    let running: Vec<ContainerId> = listed
        .into_iter()
        .filter_map(|entry| entry.record.ok())
        .filter(|record| matches!(record.phase.state(), ContainerState::Running | ContainerState::Paused))
        .map(|record| record.id)
        .collect();
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let agent = visit.agent().await?;
    let asked = running.iter().map(|id| agent.stats_container(id));
    let mut counted = Vec::with_capacity(running.len());
    for (id, answer) in running.iter().zip(join_all(asked).await) {
        match answer {
            Ok(stats) => counted.push((id.clone(), stats)),
            // The others' answers came the same way, or will not come either.
            Err(error) if is_silence(error.kind()) => return visit.told(Err(error)),
            Err(error) => tracing::debug!(container = %id, %error, "is not counted"),
        }
    }
    Ok(counted)
}

/// Whether the agent has not answered at all. An answer of any kind concerns one container: it has ended meanwhile, the
/// agent cannot count, or has failed to.
const fn is_silence(kind: AgentErrorKind) -> bool {
    use AgentErrorKind as Kind;
    matches!(kind, Kind::NotReady | Kind::Transport | Kind::Timeout | Kind::Disconnected)
}
