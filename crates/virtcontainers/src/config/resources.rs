//! Limits of a container within its guest: the short form, and how an update joins what was there.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use serde::{Deserialize, Serialize};

/// The period over which a number of vCPUs is enforced, in microseconds (the kernel's own default for `cpu.max`).
const PERIOD: u64 = 100_000;

/// Processors and memory of a container (the reference document's `ContainerResources`): the short form of what OCI
/// says in `linux.resources`.
///
/// ```
/// use virtcontainers::{ContainerResources, oci_runtime::LinuxResources};
/// let limits = LinuxResources::from(ContainerResources { vcpus: 2, mem_byte: 64 << 20 });
/// assert_eq!(limits.memory().and_then(|memory| memory.limit()), Some(64 << 20));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerResources {
    /// How many vCPUs' worth of time it may use; 0 says nothing.
    pub vcpus: u32,
    /// How much memory it may use, in bytes; -1 for no limit, 0 says nothing.
    pub mem_byte: i64,
}

impl From<ContainerResources> for LinuxResources {
    fn from(short: ContainerResources) -> Self {
        let mut resources = Self::default();
        if short.vcpus > 0 {
            let mut cpu = LinuxCpu::default();
            let quota = u64::from(short.vcpus).saturating_mul(PERIOD);
            cpu.set_quota(i64::try_from(quota).ok()).set_period(Some(PERIOD));
            resources.set_cpu(Some(cpu));
        }
        if short.mem_byte != 0 {
            let mut memory = LinuxMemory::default();
            memory.set_limit(Some(short.mem_byte));
            resources.set_memory(Some(memory));
        }
        resources
    }
}

/// The limits that hold once `asked` has been added to `old`: what is absent stays.
pub(crate) fn merge(old: LinuxResources, asked: &LinuxResources) -> LinuxResources {
    let mut merged = old;
    if let Some(asked) = asked.memory() {
        let memory = merged.memory().unwrap_or_default();
        merged.set_memory(Some(merge_memory(memory, asked)));
    }
    if let Some(asked) = asked.cpu() {
        let cpu = merged.cpu().clone().unwrap_or_default();
        merged.set_cpu(Some(merge_cpu(cpu, asked)));
    }
    if asked.pids().is_some() {
        merged.set_pids(*asked.pids());
    }
    if asked.block_io().is_some() {
        merged.set_block_io(asked.block_io().clone());
    }
    for asked in asked.hugepage_limits().iter().flatten() {
        let mut limits = merged.hugepage_limits().clone().unwrap_or_default();
        limits.retain(|limit| limit.page_size() != asked.page_size());
        limits.push(asked.clone());
        merged.set_hugepage_limits(Some(limits));
    }
    if let Some(asked) = asked.unified() {
        let mut unified = merged.unified().clone().unwrap_or_default();
        unified.extend(asked.clone());
        merged.set_unified(Some(unified));
    }
    merged
}

fn merge_memory(old: LinuxMemory, asked: &LinuxMemory) -> LinuxMemory {
    let mut memory = old;
    memory
        .set_limit(asked.limit().or(old.limit()))
        .set_reservation(asked.reservation().or(old.reservation()))
        .set_swap(asked.swap().or(old.swap()));
    memory
}

fn merge_cpu(mut cpu: LinuxCpu, asked: &LinuxCpu) -> LinuxCpu {
    let (cpus, mems) =
        (asked.cpus().clone().or(cpu.cpus().clone()), asked.mems().clone().or(cpu.mems().clone()));
    let (shares, quota) = (asked.shares().or(cpu.shares()), asked.quota().or(cpu.quota()));
    let (period, burst) = (asked.period().or(cpu.period()), asked.burst().or(cpu.burst()));
    let idle = asked.idle().or(cpu.idle());
    cpu.set_cpus(cpus)
        .set_mems(mems)
        .set_shares(shares)
        .set_quota(quota)
        .set_period(period)
        .set_burst(burst)
        .set_idle(idle);
    cpu
}
