use std::fs;

use crate::container::{cgroup::Cgroup, stats};

fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
    let hierarchy = tempfile::tempdir().unwrap();
    let group = Cgroup::at(hierarchy.path(), "c");
    fs::create_dir(group.directory()).unwrap();
    for (file, text) in files {
        fs::write(group.directory().join(file), text).unwrap();
    }
    (hierarchy, group)
}

#[test]
fn every_controller_is_read_in_the_units_of_the_protocol() {
    let (_kept, group) = group(&[
        (
            "cpu.stat",
            "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 5\nnr_throttled 2\nthrottled_usec 70\n",
        ),
        ("memory.stat", "anon 10\nfile 4096\nkernel 512\n"),
        ("memory.current", "8192\n"),
        ("memory.max", "max\n"),
        ("memory.peak", "9000\n"),
        ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n"),
        ("memory.swap.current", "100\n"),
        ("memory.swap.max", "200\n"),
        ("pids.current", "4\n"),
        ("pids.max", "max\n"),
        ("io.stat", "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0 \n"),
        ("hugetlb.2MB.current", "2097152\n"),
        ("hugetlb.2MB.events", "max 8\n"),
        ("hugetlb.2MB.rsvd.current", "1\n"),
    ]);
    let stats = stats::of(&group).unwrap();
    let usage = &stats.cpu_stats.cpu_usage;
    assert_eq!(
        (usage.total_usage, usage.usage_in_usermode, usage.usage_in_kernelmode),
        (3_000_000, 2_000_000, 1_000_000)
    );
    let throttling = &stats.cpu_stats.throttling_data;
    assert_eq!((throttling.periods, throttling.throttled_periods, throttling.throttled_time), (5, 2, 70_000));
    let memory = &stats.memory_stats;
    assert_eq!((memory.cache, memory.use_hierarchy, memory.stats["anon"]), (4096, true, 10));
    let data = |data: &virtcontainers_agent_protocol::api::agent::MemoryData| {
        (data.usage, data.max_usage, data.failcnt, data.limit)
    };
    assert_eq!(data(&memory.usage), (8192, 9000, 3, u64::MAX));
    assert_eq!(data(&memory.swap_usage), (8292, 8292, 0, u64::MAX), "memory and swap together");
    assert_eq!(memory.kernel_usage.usage, 512);
    assert_eq!((stats.pids_stats.current, stats.pids_stats.limit), (4, 0));
    let entries: Vec<_> = stats
        .blkio_stats
        .io_service_bytes_recursive
        .iter()
        .chain(&stats.blkio_stats.io_serviced_recursive)
        .map(|entry| (entry.major, entry.minor, entry.op.as_str(), entry.value))
        .collect();
    let expected = [
        (254, 0, "Read", 1),
        (254, 0, "Write", 2),
        (254, 0, "Discard", 5),
        (254, 0, "Read", 3),
        (254, 0, "Write", 4),
        (254, 0, "Discard", 6),
    ];
    assert_eq!(entries, expected);
    assert_eq!(stats.hugetlb_stats.len(), 1);
    let huge = &stats.hugetlb_stats["2MB"];
    assert_eq!((huge.usage, huge.failcnt), (2_097_152, 8));
}

#[test]
fn a_controller_that_is_not_there_gives_no_message() {
    let (_kept, group) = group(&[("cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n")]);
    let stats = stats::of(&group).unwrap();
    assert!(stats.cpu_stats.is_some() && stats.cpu_stats.throttling_data.is_none());
    assert!(stats.memory_stats.is_none() && stats.pids_stats.is_none() && stats.blkio_stats.is_none());
    assert!(stats.hugetlb_stats.is_empty());
}

#[test]
fn interfaces_are_those_of_the_table_but_the_loopback() {
    let text = "Inter-|   Receive                                                |  Transmit\n face \
                |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls \
                carrier compressed\n    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 \
                0\n  eth1:10 2 3\n";
    let interfaces = stats::interfaces_in(text);
    assert_eq!(interfaces.len(), 1);
    let eth0 = &interfaces[0];
    assert_eq!(eth0.name, "eth0");
    assert_eq!((eth0.rx_bytes, eth0.rx_packets, eth0.rx_errors, eth0.rx_dropped), (1, 2, 3, 4));
    assert_eq!((eth0.tx_bytes, eth0.tx_packets, eth0.tx_errors, eth0.tx_dropped), (5, 6, 7, 8));
}
