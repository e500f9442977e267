//! Replies that are in order.

use virtcontainers_agent_protocol::api::{agent as wire, csi, virtcontainers as own};

pub fn full_stats() -> wire::StatsContainerResponse {
    let mut stats = wire::StatsContainerResponse::new();
    let network =
        wire::NetworkStats { name: "eth0".into(), rx_bytes: 1, tx_dropped: 2, ..Default::default() };
    stats.network_stats.push(network);
    let cgroup = stats.cgroup_stats.mut_or_insert_default();
    let cpu = cgroup.cpu_stats.mut_or_insert_default();
    let usage = cpu.cpu_usage.mut_or_insert_default();
    (usage.total_usage, usage.usage_in_usermode) = (30, 20);
    usage.percpu_usage = vec![10, 20];
    cpu.throttling_data.mut_or_insert_default().throttled_time = 5;
    let memory = cgroup.memory_stats.mut_or_insert_default();
    memory.cache = 4096;
    memory.stats.insert("anon".into(), 7);
    let usage = memory.usage.mut_or_insert_default();
    (usage.usage, usage.limit) = (8192, u64::MAX);
    cgroup.pids_stats.mut_or_insert_default().current = 3;
    let entry = wire::BlkioStatsEntry { major: 8, op: "Read".into(), value: 512, ..Default::default() };
    cgroup.blkio_stats.mut_or_insert_default().io_service_bytes_recursive.push(entry);
    let pages = wire::HugetlbStats { usage: 2 << 20, ..Default::default() };
    cgroup.hugetlb_stats.insert("2MB".into(), pages);
    stats
}

pub fn init() -> own::Process {
    own::Process {
        pid: 80,
        container_pid: 1,
        ppid: 79,
        uid: 33,
        gid: 34,
        state: "S".into(),
        tty: "pts/0".into(),
        start_time_ms: 1_700_000_000_000,
        cpu_ms: 20,
        rss_bytes: 4096,
        vsize_bytes: 8192,
        threads: 2,
        comm: "nginx".into(),
        args: vec!["nginx".into(), "-g".into(), "a\x1bb".into()],
        ..Default::default()
    }
}

pub fn usage(unit: i32, total: u64) -> csi::VolumeUsage {
    let unit = protobuf::EnumOrUnknown::from_i32(unit);
    csi::VolumeUsage { available: 1, total, used: 2, unit, ..Default::default() }
}
