//! What groups have counted, in the reference document's terms.

use std::{collections::BTreeMap, fs, path::Path};

use virtcontainers_types::stats::{BlkioStatEntry, CgroupStats, MemoryData};

use super::{CgroupVersion, Cgroups, Group};

/// Which parts of [`CgroupStats`] were read; what was not is to be had elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) cpu: bool,
    pub(crate) memory: bool,
    pub(crate) pids: bool,
}

impl Cgroups {
    /// What all groups together have counted since they were made.
    pub(crate) fn stats(&self) -> (CgroupStats, Read) {
        let (mut stats, mut read) = (CgroupStats::default(), Read::default());
        stats.memory_stats.usage.limit = MemoryData::UNLIMITED;
        for group in &self.groups {
            match group.version {
                CgroupVersion::V1 => v1(group, &mut stats, &mut read),
                CgroupVersion::V2 => v2(group, &mut stats, &mut read, self.counts_cpu_elsewhere()),
            }
        }
        (stats, read)
    }

    /// Version 1 counts processor time, wherever it has the controller.
    fn counts_cpu_elsewhere(&self) -> bool {
        let counts = |group: &Group| {
            group.version == CgroupVersion::V1 && group.controllers.iter().any(|name| name == "cpuacct")
        };
        self.groups.iter().any(counts)
    }
}

fn v1(group: &Group, stats: &mut CgroupStats, read: &mut Read) {
    let dir = group.dir.as_path();
    if let Some(used) = number(dir, "cpuacct.usage") {
        read.cpu = true;
        let cpu = &mut stats.cpu_stats.cpu_usage;
        cpu.total_usage += used;
        cpu.usage_in_usermode += number(dir, "cpuacct.usage_user").unwrap_or(0);
        cpu.usage_in_kernelmode += number(dir, "cpuacct.usage_sys").unwrap_or(0);
        let each = fs::read_to_string(dir.join("cpuacct.usage_percpu")).unwrap_or_default();
        let each = each.split_whitespace().filter_map(|used| used.parse::<u64>().ok());
        for (index, used) in each.enumerate() {
            match cpu.percpu_usage.get_mut(index) {
                Some(sum) => *sum += used,
                None => cpu.percpu_usage.push(used),
            }
        }
    }
    if group.controllers.iter().any(|name| name == "cpu") {
        throttled(&keyed(dir, "cpu.stat"), stats, "throttled_time", 1);
    }
    if let Some(used) = number(dir, "memory.usage_in_bytes") {
        read.memory = true;
        let memory = &mut stats.memory_stats;
        memory.usage.usage += used;
        memory.usage.max_usage += number(dir, "memory.max_usage_in_bytes").unwrap_or(0);
        memory.usage.failcnt += number(dir, "memory.failcnt").unwrap_or(0);
        memory.usage.limit = limit(memory.usage.limit, number(dir, "memory.limit_in_bytes"));
        memory.kernel_usage.usage += number(dir, "memory.kmem.usage_in_bytes").unwrap_or(0);
        add(&mut memory.stats, keyed(dir, "memory.stat"));
        memory.cache = memory.stats.get("cache").copied().unwrap_or(0);
        memory.use_hierarchy = true;
    }
    pids(dir, stats, read);
    for (file, entries) in [
        ("blkio.throttle.io_service_bytes_recursive", &mut stats.blkio_stats.io_service_bytes_recursive),
        ("blkio.throttle.io_serviced_recursive", &mut stats.blkio_stats.io_serviced_recursive),
    ] {
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        entries.extend(text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (major, minor) = words.next()?.split_once(':')?;
            let (op, value) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some(BlkioStatEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, op, value })
        }));
    }
}

fn v2(group: &Group, stats: &mut CgroupStats, read: &mut Read, cpu_elsewhere: bool) {
    let dir = group.dir.as_path();
    let cpu = keyed(dir, "cpu.stat");
    if let Some(used) = cpu.get("usage_usec").filter(|_| !cpu_elsewhere) {
        read.cpu = true;
        let micros = |name: &str| cpu.get(name).copied().unwrap_or(0).saturating_mul(1000);
        stats.cpu_stats.cpu_usage.total_usage += used.saturating_mul(1000);
        stats.cpu_stats.cpu_usage.usage_in_usermode += micros("user_usec");
        stats.cpu_stats.cpu_usage.usage_in_kernelmode += micros("system_usec");
        throttled(&cpu, stats, "throttled_usec", 1000);
    }
    if let Some(used) = number(dir, "memory.current") {
        read.memory = true;
        let memory = &mut stats.memory_stats;
        memory.usage.usage += used;
        memory.usage.max_usage += number(dir, "memory.peak").unwrap_or(0);
        memory.usage.failcnt += keyed(dir, "memory.events").get("max").copied().unwrap_or(0);
        memory.usage.limit = limit(memory.usage.limit, number(dir, "memory.max"));
        memory.swap_usage.usage += number(dir, "memory.swap.current").unwrap_or(0);
        add(&mut memory.stats, keyed(dir, "memory.stat"));
        memory.kernel_usage.usage = memory.stats.get("kernel").copied().unwrap_or(0);
        memory.cache = memory.stats.get("file").copied().unwrap_or(0);
        memory.use_hierarchy = true;
    }
    pids(dir, stats, read);
    let text = fs::read_to_string(dir.join("io.stat")).unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(major, minor)| (major.parse(), minor.parse())) else {
            continue;
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let block = &mut stats.blkio_stats;
            let (entries, op) = match name {
                "rbytes" => (&mut block.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut block.io_service_bytes_recursive, "Write"),
                "rios" => (&mut block.io_serviced_recursive, "Read"),
                "wios" => (&mut block.io_serviced_recursive, "Write"),
                _ => continue,
            };
            let value = value.parse().unwrap_or(0);
            entries.push(BlkioStatEntry { major, minor, op: op.to_owned(), value });
        }
    }
}

fn pids(dir: &Path, stats: &mut CgroupStats, read: &mut Read) {
    if let Some(current) = number(dir, "pids.current") {
        read.pids = true;
        stats.pids_stats.current += current;
        stats.pids_stats.limit += number(dir, "pids.max").unwrap_or(0);
    }
}

fn throttled(cpu: &BTreeMap<String, u64>, stats: &mut CgroupStats, time: &str, nanos: u64) {
    let get = |name: &str| cpu.get(name).copied().unwrap_or(0);
    let data = &mut stats.cpu_stats.throttling_data;
    data.periods += get("nr_periods");
    data.throttled_periods += get("nr_throttled");
    data.throttled_time += get(time).saturating_mul(nanos);
}

/// The limits of groups together, of those that have one. Version 1 writes a number near the largest where there is none.
fn limit(so_far: u64, this: Option<u64>) -> u64 {
    const NEARLY_ALL: u64 = 1 << 60;
    match this.filter(|limit| *limit < NEARLY_ALL) {
        Some(limit) if so_far == MemoryData::UNLIMITED => limit,
        Some(limit) => so_far.saturating_add(limit),
        None => so_far,
    }
}

/// A file that is one number; `max` is none.
fn number(dir: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

/// A file of lines with a name and a number.
fn keyed(dir: &Path, file: &str) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn add(sum: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, number) in more {
        let entry = sum.entry(name).or_default();
        *entry = entry.saturating_add(number);
    }
}
