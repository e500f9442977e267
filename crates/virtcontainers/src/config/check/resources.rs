//! Checks of limits within a guest. The guest's control groups are of version 2: what only version 1 has is refused.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::Report;

const NO_SUCH_LIMIT: &str = "the guest's control groups (version 2) have no such limit: leave it out";

/// Checks limits, of a container to be made or of an update.
pub(super) fn check(resources: &LinuxResources, report: &mut Report) {
    if let Some(memory) = resources.memory() {
        report.within("memory", |report| check_memory(memory, report));
    }
    if let Some(cpu) = resources.cpu() {
        report.within("cpu", |report| check_cpu(cpu, report));
    }
    if let Some(pids) = resources.pids().filter(|pids| pids.limit() < -1) {
        report.invalid("pids.limit", pids.limit(), "write how many, or -1 for no limit");
    }
    if let Some(weight) = resources.block_io().as_ref().and_then(|block| block.weight())
        && !(10..=1000).contains(&weight)
    {
        report.invalid("blockIO.weight", weight, "write a number from 10 to 1000");
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let plain = |size: &str| {
            let digits = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
            digits.len() + 2 == size.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        };
        if !plain(limit.page_size()) {
            let expected = "write the size of the pages as the kernel does, for example 2MB";
            report.invalid(&format!("hugepageLimits[{index}].pageSize"), limit.page_size(), expected);
        }
        if limit.limit() < 0 {
            report.invalid(
                &format!("hugepageLimits[{index}].limit"),
                limit.limit(),
                "write a number of bytes",
            );
        }
    }
    for (key, value) in resources.unified().iter().flatten() {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
        let controlled =
            key.split_once('.').is_some_and(|(group, file)| !group.is_empty() && !file.is_empty());
        if !controlled || !key.bytes().all(plain) || key.starts_with("cgroup.") || value.contains('\0') {
            let expected =
                "write the name of a control group's file, for example memory.high, with its value";
            report.invalid("unified", key, expected);
        }
    }
    let absent = |report: &mut Report, field, is_set| {
        if is_set {
            report.invalid(field, "a limit", NO_SUCH_LIMIT);
        }
    };
    absent(report, "network", resources.network().is_some());
    absent(report, "rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty()));
}

fn check_memory(memory: &LinuxMemory, report: &mut Report) {
    let expected = "write a number of bytes, or -1 for no limit";
    for (field, value) in
        [("limit", memory.limit()), ("reservation", memory.reservation()), ("swap", memory.swap())]
    {
        if let Some(value) = value.filter(|&value| value < -1 || (value == 0 && field == "limit")) {
            report.invalid(field, value, expected);
        }
    }
    if let (Some(limit), Some(swap)) = (memory.limit(), memory.swap())
        && limit > 0
        && (0..limit).contains(&swap)
    {
        let expected = "it counts memory and swap together, so write at least memory.limit";
        report.invalid("swap", swap, expected);
    }
    let absent = [
        ("kernel", memory.kernel().is_some()),
        ("kernelTCP", memory.kernel_tcp().is_some()),
        ("swappiness", memory.swappiness().is_some()),
        ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
    ];
    for (field, _) in absent.iter().filter(|(_, is_set)| *is_set) {
        report.invalid(field, "a limit", NO_SUCH_LIMIT);
    }
}

fn check_cpu(cpu: &LinuxCpu, report: &mut Report) {
    if let Some(shares) = cpu.shares().filter(|shares| !(2..=262_144).contains(shares)) {
        report.invalid("shares", shares, "write a number from 2 to 262144");
    }
    if let Some(period) = cpu.period().filter(|period| !(1_000..=1_000_000).contains(period)) {
        report.invalid("period", period, "write a number of microseconds from 1000 to 1000000");
    }
    if let Some(quota) = cpu.quota().filter(|&quota| quota != -1 && quota < 1_000) {
        report.invalid("quota", quota, "write at least 1000 microseconds, or -1 for no limit");
    }
    for (field, list) in [("cpus", cpu.cpus()), ("mems", cpu.mems())] {
        if let Some(list) = list.as_ref().filter(|list| !is_cpu_list(list)) {
            report.invalid(field, list, "write numbers and ranges, for example 0-2,4");
        }
    }
    if let Some(idle) = cpu.idle().filter(|idle| !matches!(idle, 0 | 1)) {
        report.invalid("idle", idle, "write 0 or 1");
    }
    for (field, is_set) in [
        ("realtimeRuntime", cpu.realtime_runtime().is_some()),
        ("realtimePeriod", cpu.realtime_period().is_some()),
    ] {
        if is_set {
            report.invalid(field, "a limit", NO_SUCH_LIMIT);
        }
    }
}

/// The kernel's "list format" of cpuset(7), within sensible numbers.
fn is_cpu_list(list: &str) -> bool {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().ok();
        matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
    };
    list.len() <= 4096 && list.trim().split(',').all(range)
}
