//! Resource limits of the OCI specification as values for the files of a cgroup (cgroup v2).
//!
//! The specification speaks of cgroup v1 in places; what it says there is converted as other runtimes do. What cgroup
//! v2 has nothing for is refused. Rules for devices are the exception: the virtual machine is the boundary around its
//! devices, so they are not applied.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources, LinuxThrottleDevice,
};

use super::cgroup::Cgroup;
use crate::error::CallError;

/// Values in one request.
const MAX_LIMITS: usize = 1024;

/// The period of `cpu.max` when nobody says, in microseconds.
const DEFAULT_PERIOD: &str = "100000";

/// One value of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The file in the group's directory.
    pub file: String,
    /// What the line of the file begins with that this is for; none if the file has one value.
    pub key: Option<String>,
    /// What is written, the key included.
    pub value: String,
    /// What is written to take the value back, if the file has no line for the key.
    pub neutral: String,
    /// Whether a guest without that file does without the limit.
    pub optional: bool,
}

impl Limit {
    fn new(file: &str, value: impl ToString) -> Self {
        let (file, value) = (file.to_owned(), value.to_string());
        Self { file, key: None, value, neutral: "max".to_owned(), optional: false }
    }

    fn keyed(file: &str, key: String, value: &str, neutral: &str) -> Self {
        Self {
            file: file.to_owned(),
            value: format!("{key} {value}"),
            neutral: format!("{key} {neutral}"),
            key: Some(key),
            optional: false,
        }
    }
}

/// The values that `resources` mean for `group`, whose present ones fill in what a request leaves open.
///
/// # Errors
/// [`CallError::Invalid`], and [`CallError::NotBuilt`] for what cgroup v2 does not have.
pub fn of(resources: &LinuxResources, group: &Cgroup) -> Result<Vec<Limit>, CallError> {
    refuse_others(resources)?;
    let mut limits = Vec::new();
    if let Some(cpu) = resources.cpu() {
        limits.extend(processor(cpu, group)?);
    }
    if let Some(wanted) = resources.memory() {
        limits.extend(memory(wanted, group)?);
    }
    if let Some(pids) = resources.pids().as_ref() {
        let limit = pids.limit();
        let value = if limit <= 0 { "max".to_owned() } else { limit.to_string() };
        limits.push(Limit::new("pids.max", value));
    }
    if let Some(io) = resources.block_io() {
        limits.extend(block_io(io, group)?);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        limits.extend(huge_pages(limit)?);
    }
    for (file, value) in resources.unified().iter().flatten() {
        limits.push(unified(file, value)?);
    }
    if limits.len() > MAX_LIMITS {
        return Err(CallError::TooMany { what: "resource limits in one request", limit: MAX_LIMITS });
    }
    Ok(limits)
}

/// What has no counterpart.
fn refuse_others(resources: &LinuxResources) -> Result<(), CallError> {
    let cpu = resources.cpu().clone().unwrap_or_default();
    let memory = resources.memory().unwrap_or_default();
    let network = resources.network().clone().unwrap_or_default();
    let kernel = memory.kernel().is_some_and(|limit| limit > 0);
    let has_priorities = network.priorities().as_ref().is_some_and(|priorities| !priorities.is_empty());
    for (field, is_set) in [
        ("a real-time limit (linux.resources.cpu.realtimeRuntime)", cpu.realtime_runtime().is_some()),
        ("a real-time limit (linux.resources.cpu.realtimePeriod)", cpu.realtime_period().is_some()),
        ("linux.resources.memory.kernel", kernel),
        ("linux.resources.memory.kernelTCP", memory.kernel_tcp().is_some_and(|limit| limit > 0)),
        ("linux.resources.memory.swappiness", memory.swappiness().is_some()),
        ("linux.resources.memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("linux.resources.network.classID", network.class_id().is_some_and(|id| id != 0)),
        ("linux.resources.network.priorities", has_priorities),
        ("linux.resources.rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
    ] {
        if is_set {
            return Err(CallError::NotBuilt(field));
        }
    }
    Ok(())
}

fn invalid(field: &'static str, reason: impl Into<String>) -> CallError {
    CallError::Invalid { field, reason: reason.into() }
}

fn processor(cpu: &LinuxCpu, group: &Cgroup) -> Result<Vec<Limit>, CallError> {
    let mut limits = Vec::new();
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        let weight = weight_of_shares(shares).ok_or_else(|| {
            invalid("linux.resources.cpu.shares", format!("{shares} is not from 2 to 262144"))
        })?;
        limits.push(Limit { neutral: "100".to_owned(), ..Limit::new("cpu.weight", weight) });
    }
    if cpu.quota().is_some() || cpu.period().is_some() {
        let present = group.read("cpu.max").ok().flatten().unwrap_or_default();
        let mut present = present.split_whitespace();
        let (quota, period) = (present.next().unwrap_or("max"), present.next().unwrap_or(DEFAULT_PERIOD));
        let quota = match cpu.quota() {
            None => quota.to_owned(),
            Some(quota) if quota <= 0 => "max".to_owned(),
            Some(quota) => quota.to_string(),
        };
        let period = cpu.period().map_or_else(|| period.to_owned(), |period| period.to_string());
        limits.push(Limit::new("cpu.max", format!("{quota} {period}")));
    }
    if let Some(burst) = cpu.burst() {
        limits.push(Limit { neutral: "0".to_owned(), ..Limit::new("cpu.max.burst", burst) });
    }
    if let Some(idle) = cpu.idle() {
        limits.push(Limit { neutral: "0".to_owned(), ..Limit::new("cpu.idle", idle) });
    }
    for (file, field, list) in [
        ("cpuset.cpus", "linux.resources.cpu.cpus", cpu.cpus()),
        ("cpuset.mems", "linux.resources.cpu.mems", cpu.mems()),
    ] {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { continue };
        if !list.bytes().all(|byte| byte.is_ascii_digit() || b",-".contains(&byte)) {
            return Err(invalid(field, "it must be a list like 0-3,7"));
        }
        limits.push(Limit { neutral: "\n".to_owned(), ..Limit::new(file, list) });
    }
    Ok(limits)
}

/// Shares of cgroup v1 (2 to 262144, 1024 by default) as a weight of v2 (1 to 10000), on the straight line between the
/// ends of both scales that other runtimes use.
fn weight_of_shares(shares: u64) -> Option<u64> {
    (2..=262_144).contains(&shares).then(|| 1 + ((shares - 2) * 9999) / 262_142)
}

fn memory(memory: &LinuxMemory, group: &Cgroup) -> Result<Vec<Limit>, CallError> {
    let mut limits = Vec::new();
    let checked = |field, value: Option<i64>| match value {
        Some(value) if value < -1 => Err(invalid(field, format!("{value} is no number of bytes"))),
        value => Ok(value.filter(|value| *value != 0)),
    };
    let limit = checked("linux.resources.memory.limit", memory.limit())?;
    let swap = checked("linux.resources.memory.swap", memory.swap())?;
    let reservation = checked("linux.resources.memory.reservation", memory.reservation())?;
    if let Some(limit) = limit {
        limits.push(Limit::new("memory.max", bytes(limit)));
    }
    match (swap, limit) {
        (None, Some(-1)) | (Some(-1), _) => limits.push(unlimited("memory.swap.max")),
        (None, _) => {}
        (Some(swap), limit) => {
            let present = || group.read("memory.max").ok().flatten()?.trim().parse::<i64>().ok();
            // The specification means memory and swap together, cgroup v2 swap alone.
            let alone = limit.or_else(present).filter(|limit| *limit >= 0).and_then(|limit| {
                let alone = swap.checked_sub(limit)?;
                (alone >= 0).then_some(alone)
            });
            let Some(alone) = alone else {
                let reason = "it is memory and swap together: it needs a memory limit that is not larger";
                return Err(invalid("linux.resources.memory.swap", reason));
            };
            limits.push(Limit::new("memory.swap.max", alone));
        }
    }
    if let Some(reservation) = reservation {
        limits.push(Limit { neutral: "0".to_owned(), ..Limit::new("memory.low", bytes(reservation)) });
    }
    Ok(limits)
}

fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// A guest without the file has no such limit.
fn unlimited(file: &str) -> Limit {
    Limit { optional: true, ..Limit::new(file, "max") }
}

fn block_io(io: &LinuxBlockIo, group: &Cgroup) -> Result<Vec<Limit>, CallError> {
    let devices = io.weight_device().iter().flatten();
    let has_leaf = io.leaf_weight().is_some() || devices.clone().any(|device| device.leaf_weight().is_some());
    if has_leaf {
        return Err(CallError::NotBuilt("linux.resources.blockIO.leafWeight"));
    }
    // Only one of the kernel's two schedulers with weights is there, if any.
    let has_bfq = group.directory().join("io.bfq.weight").exists();
    let weight = |weight: u16| -> Result<u64, CallError> {
        if !(10..=1000).contains(&weight) {
            return Err(invalid(
                "linux.resources.blockIO weight",
                format!("{weight} is not from 10 to 1000"),
            ));
        }
        let weight = u64::from(weight);
        Ok(if has_bfq { weight } else { 1 + (weight - 10) * 9999 / 990 })
    };
    let file = if has_bfq { "io.bfq.weight" } else { "io.weight" };
    let mut limits = Vec::new();
    if let Some(value) = io.weight() {
        let value = weight(value)?.to_string();
        limits.push(Limit::keyed(file, "default".to_owned(), &value, "100"));
    }
    for device in devices {
        let Some(value) = device.weight() else { continue };
        let key = format!("{}:{}", device.major(), device.minor());
        limits.push(Limit::keyed(file, key, &weight(value)?.to_string(), "default"));
    }
    for (name, throttled) in [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ] {
        limits.extend(throttled.iter().flatten().map(|device| throttle(name, device)));
    }
    Ok(limits)
}

fn throttle(name: &str, device: &LinuxThrottleDevice) -> Limit {
    let key = format!("{}:{}", device.major(), device.minor());
    let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
    Limit::keyed("io.max", key, &format!("{name}={rate}"), &format!("{name}=max"))
}

fn huge_pages(limit: &LinuxHugepageLimit) -> Result<[Limit; 2], CallError> {
    let size = limit.page_size();
    let digits = size.trim_end_matches(|last: char| last.is_ascii_uppercase());
    let unit = &size[digits.len()..];
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !["KB", "MB", "GB"].contains(&unit) {
        return Err(invalid("linux.resources.hugepageLimits[].pageSize", "it must be like 2MB"));
    }
    let value = limit.limit();
    let reserved = Limit { optional: true, ..Limit::new(&format!("hugetlb.{size}.rsvd.max"), value) };
    Ok([Limit::new(&format!("hugetlb.{size}.max"), value), reserved])
}

/// A file of a controller, by its own name.
fn unified(file: &str, value: &str) -> Result<Limit, CallError> {
    let is_plain = file.contains('.')
        && file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !file.starts_with(['.', '-']);
    if !is_plain || file.starts_with("cgroup.") {
        return Err(invalid("linux.resources.unified", "its keys must be files of a controller"));
    }
    Ok(Limit { neutral: String::new(), ..Limit::new(file, value) })
}
