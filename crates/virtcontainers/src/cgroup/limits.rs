//! What a sandbox may use on the host: its containers' limits, taken together.
//!
//! - Processor time: the sum of the quotas, if every container has one; one that has none may use all that there is. Never
//!   less than a quarter of a processor, without which no machine answers.
//! - Shares: the sum, where a container that says nothing counts with the kernel's own value.
//! - Processors and memory nodes: the union, if every container names some; of it what the group above has.
//! - Memory: with `memory_overhead`, the machine's memory and that much more. Not the containers' sum: a guest fills its
//!   memory with cached files, and a host that denies it the rest kills the machine.

use std::{collections::BTreeSet, fs, io, path::Path};

use oci_spec::runtime::LinuxResources;

use super::{CgroupVersion, Cgroups, Group};
use crate::{
    config::SandboxConfig,
    error::{Cause, Error},
};

/// The period in which quotas are enforced, in microseconds.
const PERIOD: u64 = 100_000;
/// The least quota of a machine, in microseconds of a period.
const LEAST_QUOTA: u64 = PERIOD / 4;
/// The kernel's shares of a group that was given none.
const SHARES: u64 = 1024;
/// The most shares that the kernel takes.
const MAX_SHARES: u64 = 262_144;

/// What a sandbox may use; none means without a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Microseconds of processor time in each [`PERIOD`].
    quota: Option<u64>,
    shares: Option<u64>,
    cpus: Option<BTreeSet<u16>>,
    mems: Option<BTreeSet<u16>>,
    /// In bytes.
    memory: Option<u64>,
}

impl Limits {
    /// Those of a sandbox with these containers.
    pub(crate) fn of<'a>(
        config: &SandboxConfig,
        containers: impl Iterator<Item = Option<&'a LinuxResources>>,
    ) -> Self {
        let cpus: Vec<_> = containers.map(|limits| limits.and_then(|limits| limits.cpu().as_ref())).collect();
        let machine = &config.hypervisor_config;
        let overhead = config.memory_overhead.0;
        let memory = (overhead > 0 && config.sandbox_cgroup_only)
            .then(|| (u64::from(machine.memory_size.0) + u64::from(overhead)) << 20);
        let quota = all(cpus.iter().map(|cpu| {
            let (quota, period) = (cpu.and_then(|cpu| cpu.quota())?, cpu.and_then(|cpu| cpu.period()));
            let quota = u64::try_from(quota).ok().filter(|quota| *quota > 0)?;
            let period = period.filter(|period| *period > 0).unwrap_or(PERIOD);
            u64::try_from(u128::from(quota) * u128::from(PERIOD) / u128::from(period)).ok()
        }));
        let quota = quota.map(|quotas| quotas.into_iter().fold(0, u64::saturating_add).max(LEAST_QUOTA));
        let shares: Vec<_> = cpus.iter().map(|cpu| cpu.and_then(|cpu| cpu.shares())).collect();
        let shares = shares.iter().any(Option::is_some).then(|| {
            let sum = shares.iter().map(|shares| shares.unwrap_or(SHARES)).fold(0, u64::saturating_add);
            sum.clamp(2, MAX_SHARES)
        });
        let union = |list: fn(&oci_spec::runtime::LinuxCpu) -> Option<&String>| {
            let lists = all(cpus.iter().map(|cpu| numbers(list((*cpu)?)?)))?;
            Some(lists.into_iter().flatten().collect::<BTreeSet<_>>())
        };
        let (cpus, mems) = (union(|cpu| cpu.cpus().as_ref()), union(|cpu| cpu.mems().as_ref()));
        Self { quota, shares, cpus, mems, memory }
    }
}

/// All values, if there is one and none is missing.
fn all<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    values.collect::<Option<Vec<T>>>().filter(|values| !values.is_empty())
}

/// The kernel's "list format" of cpuset(7).
fn numbers(list: &str) -> Option<BTreeSet<u16>> {
    let mut numbers = BTreeSet::new();
    for range in list.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
        numbers.extend(first..=last);
    }
    Some(numbers).filter(|numbers| !numbers.is_empty())
}

fn list(numbers: &BTreeSet<u16>) -> String {
    numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// Gives a sandbox's groups these limits, where they differ from what is in force. Groups that nobody asked for have none.
pub(crate) fn set_limits(cgroups: &Cgroups, limits: &Limits) -> Result<(), Error> {
    for group in cgroups.groups.iter().filter(|group| group.limited) {
        for (file, value, wanted) in files(group, limits) {
            let path = group.dir.join(file);
            match put(&path, &value) {
                Ok(()) => {}
                // Nothing is missed where nothing is to be limited.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => {}
                Err(source) => return Err(Cause::Cgroup { path, source }.into()),
            }
        }
    }
    Ok(())
}

fn put(path: &Path, value: &str) -> io::Result<()> {
    let now = fs::read_to_string(path)?;
    if same(&now, value) {
        return Ok(());
    }
    // Opened without being made: a hierarchy makes its own files.
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
    io::Write::write_all(&mut file, format!("{value}\n").as_bytes())
}

/// Whether a file says already what it is to: sets of numbers have more than one form.
fn same(now: &str, wanted: &str) -> bool {
    now.trim() == wanted || numbers(now).zip(numbers(wanted)).is_some_and(|(now, wanted)| now == wanted)
}

/// A file of a group, what is to be in it, and whether that is a limit.
type File = (&'static str, String, bool);

/// What is to be written into a group's files, in this order.
pub(super) fn files(group: &Group, limits: &Limits) -> Vec<File> {
    let has = |controller: &str| group.controllers.iter().any(|had| had == controller);
    let mut files: Vec<File> = Vec::new();
    let v2 = group.version == CgroupVersion::V2;
    if has("cpu") {
        let (quota, shares) = (limits.quota, limits.shares);
        let quota_or = |none: &str| quota.map_or_else(|| none.to_owned(), |quota| quota.to_string());
        if v2 {
            let weight = shares.map_or(100, weight);
            files.push(("cpu.weight", weight.to_string(), shares.is_some()));
            files.push(("cpu.max", format!("{} {PERIOD}", quota_or("max")), quota.is_some()));
        } else {
            files.push(("cpu.shares", shares.unwrap_or(SHARES).to_string(), shares.is_some()));
            files.push(("cpu.cfs_period_us", PERIOD.to_string(), quota.is_some()));
            files.push(("cpu.cfs_quota_us", quota_or("-1"), quota.is_some()));
        }
    }
    if has("cpuset") {
        for (file, effective, wanted) in [
            ("cpuset.cpus", if v2 { "cpuset.cpus.effective" } else { "cpuset.cpus" }, &limits.cpus),
            ("cpuset.mems", if v2 { "cpuset.mems.effective" } else { "cpuset.mems" }, &limits.mems),
        ] {
            files.push(set(group, file, effective, wanted.as_ref()));
        }
    }
    if has("memory") {
        let (file, none) = if v2 { ("memory.max", "max") } else { ("memory.limit_in_bytes", UNLIMITED_V1) };
        let value = limits.memory.map_or_else(|| none.to_owned(), |bytes| bytes.to_string());
        files.push((file, value, limits.memory.is_some()));
    }
    files
}

/// What version 1 says where there is no limit: the largest number of whole pages.
const UNLIMITED_V1: &str = "9223372036854771712";

/// A set of processors or nodes: those wanted that the group above has, or else all of those.
fn set(group: &Group, file: &'static str, effective: &str, wanted: Option<&BTreeSet<u16>>) -> File {
    let above = group.dir.parent().and_then(|above| fs::read_to_string(above.join(effective)).ok());
    let above = above.as_deref().and_then(numbers).unwrap_or_default();
    let chosen: Option<BTreeSet<u16>> = wanted
        .map(|wanted| wanted.intersection(&above).copied().collect())
        .filter(|chosen: &BTreeSet<u16>| !chosen.is_empty());
    match (chosen, group.version) {
        (Some(chosen), _) => (file, list(&chosen), true),
        (None, CgroupVersion::V1) => (file, list(&above), false),
        // Empty: as the group above.
        (None, CgroupVersion::V2) => (file, String::new(), false),
    }
}

/// Shares (2 to 262144) as a weight (1 to 10000), as the OCI runtime specification's runtimes have it.
const fn weight(shares: u64) -> u64 {
    1 + (shares.saturating_sub(2) * 9_999) / 262_142
}
