//! `virtc update`: changes the limits of running containers.

use virtcontainers::oci_runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::{each, open};
use crate::{
    cli::{Global, LimitArgs, UpdateArgs},
    error::CliError,
    exit::Exit,
};

/// The kernel's own period for quotas of processor time, in microseconds.
const PERIOD: u64 = 100_000;

pub(super) async fn run(global: &Global, args: UpdateArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let wanted = resources(&args.limits);
    each(&args.targets, async |target| Ok(target.find(&runtime).await?.update(wanted.clone()).await?)).await
}

/// What is named, in OCI's words; the rest stays as it is.
fn resources(limits: &LimitArgs) -> LinuxResources {
    let mut wanted = LinuxResources::default();
    if limits.memory.is_some() || limits.memory_reservation.is_some() || limits.memory_swap.is_some() {
        let mut memory = LinuxMemory::default();
        memory
            .set_limit(limits.memory)
            .set_reservation(limits.memory_reservation)
            .set_swap(limits.memory_swap);
        wanted.set_memory(Some(memory));
    }
    let mut cpu = LinuxCpu::default();
    match limits.cpus {
        // At most 1024 processors with five digits: whole microseconds hold it.
        Some(cpus) => cpu.set_quota(Some((cpus * PERIOD as f64).round() as i64)).set_period(Some(PERIOD)),
        None => cpu.set_quota(limits.cpu_quota).set_period(limits.cpu_period),
    };
    cpu.set_shares(limits.cpu_shares)
        .set_cpus(limits.cpuset_cpus.clone())
        .set_mems(limits.cpuset_mems.clone());
    if cpu != LinuxCpu::default() {
        wanted.set_cpu(Some(cpu));
    }
    if let Some(limit) = limits.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        wanted.set_pids(Some(pids));
    }
    if limits.blkio_weight.is_some() {
        let mut block = LinuxBlockIo::default();
        block.set_weight(limits.blkio_weight);
        wanted.set_block_io(Some(block));
    }
    wanted
}
