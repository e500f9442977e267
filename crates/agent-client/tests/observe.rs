//! What a guest tells of itself and its containers: as it was told, or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod guest;

use std::{sync::Arc, time::Duration};

use guest::{
    Answer, Rig,
    samples::{full_stats, init, usage},
};
use tokio::time::timeout;
use ttrpc::Code;
use virtcontainers_agent_client::{
    Agent, AgentError, AgentErrorKind, ProcessState, Timeouts, VolumeUsage, kata::reply,
};
use virtcontainers_agent_protocol::api::{agent as wire, csi, virtcontainers as own};
use virtcontainers_types::{ContainerId, ExecId, stats::BlkioStatEntry};

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(20);

fn container() -> ContainerId {
    ContainerId::new("web").unwrap()
}

fn exec() -> ExecId {
    ExecId::new("shell").unwrap()
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, AgentError>, method: &str, why: &str) {
    match result.unwrap_err() {
        AgentError::Protocol { method: of, reason } => {
            assert_eq!(of, method);
            assert!(reason.contains(why) && reason.len() < 300, "{reason}");
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn statistics_arrive_as_the_guest_counts_them() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("StatsContainer", Answer::reply(&full_stats()));
    let stats = agent.stats_container(&container()).await.unwrap();
    assert_eq!(guest.last::<wire::StatsContainerRequest>("StatsContainer").container_id, "web");
    let [network] = stats.network_stats.as_slice() else { panic!("{stats:?}") };
    assert_eq!((network.name.as_str(), network.rx_bytes, network.tx_dropped), ("eth0", 1, 2));
    let cgroup = &stats.cgroup_stats;
    let cpu = &cgroup.cpu_stats;
    assert_eq!((cpu.cpu_usage.total_usage, cpu.cpu_usage.usage_in_usermode), (30, 20));
    assert_eq!(
        (cpu.cpu_usage.percpu_usage.as_slice(), cpu.throttling_data.throttled_time),
        (&[10, 20][..], 5)
    );
    let memory = &cgroup.memory_stats;
    assert_eq!((memory.cache, memory.usage.usage, memory.usage.limit), (4096, 8192, u64::MAX));
    assert_eq!((memory.stats["anon"], cgroup.pids_stats.current), (7, 3));
    let entry = BlkioStatEntry { major: 8, minor: 0, op: "Read".into(), value: 512 };
    assert_eq!(cgroup.blkio_stats.io_service_bytes_recursive, [entry]);
    assert_eq!(cgroup.hugetlb_stats["2MB"].usage, 2 << 20);

    guest.answer("StatsContainer", Answer::reply(&wire::StatsContainerResponse::new()));
    assert_eq!(agent.stats_container(&container()).await.unwrap(), Default::default(), "nothing was counted");
}

#[tokio::test]
async fn statistics_beyond_any_measure_are_refused() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let spoilt = |spoil: fn(&mut wire::StatsContainerResponse)| {
        let mut stats = full_stats();
        spoil(&mut stats);
        stats
    };
    for (why, stats) in [
        ("network interfaces", spoilt(|stats| stats.network_stats = vec![Default::default(); 1025])),
        ("interface's name", spoilt(|stats| stats.network_stats[0].name = "e".repeat(257))),
        (
            "processors",
            spoilt(|stats| {
                let cpu = stats.cgroup_stats.mut_or_insert_default().cpu_stats.mut_or_insert_default();
                cpu.cpu_usage.mut_or_insert_default().percpu_usage = vec![1; 8193];
            }),
        ),
        (
            "counters of memory",
            spoilt(|stats| {
                let memory = stats.cgroup_stats.mut_or_insert_default().memory_stats.mut_or_insert_default();
                memory.stats = (0..513).map(|n| (n.to_string(), n)).collect();
            }),
        ),
        (
            "counter's name",
            spoilt(|stats| {
                let memory = stats.cgroup_stats.mut_or_insert_default().memory_stats.mut_or_insert_default();
                memory.stats.insert("m".repeat(1 << 20), 1);
            }),
        ),
        (
            "huge pages",
            spoilt(|stats| {
                let pages = (0..65).map(|n| (format!("{n}MB"), wire::HugetlbStats::new()));
                stats.cgroup_stats.mut_or_insert_default().hugetlb_stats = pages.collect();
            }),
        ),
        (
            "block devices",
            spoilt(|stats| {
                let block = stats.cgroup_stats.mut_or_insert_default().blkio_stats.mut_or_insert_default();
                block.sectors_recursive = vec![Default::default(); 4097];
            }),
        ),
        (
            "an operation",
            spoilt(|stats| {
                let block = stats.cgroup_stats.mut_or_insert_default().blkio_stats.mut_or_insert_default();
                let op = "R".repeat(257);
                block.io_merged_recursive = vec![wire::BlkioStatsEntry { op, ..Default::default() }];
            }),
        ),
    ] {
        guest.answer("StatsContainer", Answer::reply(&stats));
        assert_refused(agent.stats_container(&container()).await, "StatsContainer", why);
    }
    let steering = spoilt(|stats| stats.network_stats[0].name = "\x1b[2Jeth\n0".into());
    let stats = reply::container_stats(steering).unwrap();
    assert_eq!(stats.network_stats[0].name, " [2Jeth 0", "nothing that steers a terminal gets through");
}

fn listed(processes: Vec<own::Process>) -> Answer {
    Answer::reply(&own::ListProcessesResponse { processes, ..Default::default() })
}

#[tokio::test]
async fn processes_arrive_as_the_kernel_shows_them() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("ListProcesses", listed(vec![init()]));
    let processes = agent.list_processes(&container()).await.unwrap();
    assert_eq!(guest.last::<own::ListProcessesRequest>("ListProcesses").container_id, "web");
    let [process] = processes.as_slice() else { panic!("{processes:?}") };
    assert_eq!((process.pid, process.container_pid, process.ppid, process.container_ppid), (80, 1, 79, 0));
    assert_eq!((process.uid, process.gid, process.threads), (33, 34, 2));
    assert_eq!((process.state, process.tty.as_str()), (ProcessState::Sleeping, "pts/0"));
    assert_eq!((process.start_time_ms, process.cpu_ms), (1_700_000_000_000, 20));
    assert_eq!((process.rss_bytes, process.vsize_bytes), (4096, 8192));
    assert_eq!(process.comm, "nginx");
    assert_eq!(process.args, ["nginx", "-g", "a b"], "nothing that steers a terminal gets through");
}

#[tokio::test]
async fn processes_that_cannot_be_are_refused() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    for (why, spoil) in [
        ("no state", (|process| process.state = String::new()) as fn(&mut own::Process)),
        ("no state", |process| process.state = "SS".into()),
        ("no state", |process| process.state = "?".repeat(1 << 20)),
        ("number 0", |process| process.pid = 0),
        ("terminal's name", |process| process.tty = "t".repeat(257)),
        ("command's name", |process| process.comm = "c".repeat(257)),
        ("words", |process| process.args = vec![String::new(); 4097]),
        ("bytes of a command line", |process| process.args = vec!["a".repeat(16 << 10), "b".into()]),
    ] {
        let mut process = init();
        spoil(&mut process);
        guest.answer("ListProcesses", listed(vec![init(), process]));
        assert_refused(agent.list_processes(&container()).await, "ListProcesses", why);
    }
    guest.answer("ListProcesses", listed(vec![init(); 4097]));
    assert_refused(agent.list_processes(&container()).await, "ListProcesses", "4097 processes");
}

#[tokio::test]
async fn an_agent_without_a_list_of_processes_is_told_from_a_container_that_is_not_there() {
    let Rig { agent, .. } = &Rig::foreign().await;
    let error = agent.list_processes(&container()).await.unwrap_err();
    assert!(matches!(error, AgentError::Unimplemented { method: "ListProcesses" }), "{error}");

    let Rig { guest, agent, .. } = &Rig::new().await;
    for code in [Code::UNIMPLEMENTED, Code::INVALID_ARGUMENT, Code::NOT_FOUND] {
        guest.answer("ListProcesses", Answer::Fail(code, "no such service".into()));
        let error = agent.list_processes(&container()).await.unwrap_err();
        assert_eq!(error.kind(), AgentErrorKind::Unimplemented, "{error}");
    }
    guest.answer("StatsContainer", Answer::Fail(Code::NOT_FOUND, "no container".into()));
    let error = agent.list_processes(&container()).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::NotFound, "{error}");
    guest.answer("ListProcesses", Answer::Fail(Code::INTERNAL, "no /proc".into()));
    assert_eq!(agent.list_processes(&container()).await.unwrap_err().kind(), AgentErrorKind::Failed);
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_any_more_waits_for_the_next_who_asks() {
    let rig = Rig::new().await;
    let agent = Arc::new(rig.agent);
    timeout(SOON, agent.oom_event()).await.expect_err("nothing has happened");
    rig.guest.oom.send("web".into()).unwrap();
    assert_eq!(timeout(LATE, agent.oom_event()).await.unwrap().unwrap(), container());
    assert_eq!(rig.guest.count("GetOOMEvent"), 1, "the request of the wait that was dropped was answered");

    let waits = futures::future::join(agent.oom_event(), agent.oom_event());
    for id in ["a", "b"] {
        rig.guest.oom.send(id.into()).unwrap();
    }
    let (first, second) = timeout(LATE, waits).await.unwrap();
    let mut told = [first.unwrap().to_string(), second.unwrap().to_string()];
    told.sort();
    assert_eq!(told, ["a", "b"], "each is told once");
}

#[tokio::test]
async fn an_event_takes_its_time_and_names_a_container() {
    let rig = Rig::new().await;
    let agent = rig.agent.timeouts(Timeouts::default().call(Duration::from_millis(1)));
    timeout(SOON, agent.oom_event()).await.expect_err("no bound of a call's holds for it");
    for id in ["", "../web", "\x1b[2J", &"a".repeat(1 << 20)] {
        rig.guest.oom.send(id.into()).unwrap();
        assert_refused(agent.oom_event().await, "GetOOMEvent", "container id");
    }
    rig.guest.oom.send("web".into()).unwrap();
    assert_eq!(agent.oom_event().await.unwrap(), container(), "an event that cannot be spoils no other");
}

#[tokio::test]
async fn metrics_and_logs_keep_their_lines_and_nothing_that_steers_a_terminal() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let metrics = |text: &str| Answer::reply(&wire::Metrics { metrics: text.into(), ..Default::default() });
    guest.answer("GetMetrics", metrics("a 1\nb\t2\x1b\n"));
    assert_eq!(agent.metrics().await.unwrap(), "a 1\nb\t2 \n");
    guest.answer("GetMetrics", metrics(&"a".repeat((2 << 20) + 1)));
    assert_refused(agent.metrics().await, "GetMetrics", "bytes of text");
    guest.answer("GetMetrics", Answer::Fail(Code::NOT_FOUND, "not supported".into()));
    assert_eq!(agent.metrics().await.unwrap_err().kind(), AgentErrorKind::Unimplemented);

    let log = wire::GetDiagnosticDataResponse { data: "one\ntwo\r\n".into(), ..Default::default() };
    guest.answer("GetDiagnosticData", Answer::reply(&log));
    assert_eq!(agent.diagnostic_data("termination", Some(&container())).await.unwrap(), "one\ntwo \n");
    let asked: wire::GetDiagnosticDataRequest = guest.last("GetDiagnosticData");
    assert_eq!((asked.log_type.as_str(), asked.container_id.as_str()), ("termination", "web"));
    let error = agent.diagnostic_data("", None).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_volume_is_as_full_as_the_guest_says_in_units_that_there_are() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let answer = |usage: Vec<csi::VolumeUsage>, abnormal| {
        let condition = csi::VolumeCondition { abnormal, message: "worn\nout".into(), ..Default::default() };
        let volume_condition = Some(condition).into();
        Answer::reply(&csi::VolumeStatsResponse { usage, volume_condition, ..Default::default() })
    };
    guest.answer("GetVolumeStats", answer(vec![usage(1, 10), usage(2, 20), usage(0, 30)], true));
    let stats = agent.volume_stats("/data").await.unwrap();
    assert_eq!(guest.last::<wire::VolumeStatsRequest>("GetVolumeStats").volume_guest_path, "/data");
    assert_eq!(stats.bytes, Some(VolumeUsage { total: 10, used: 2, available: 1 }));
    assert_eq!(stats.inodes.map(|inodes| inodes.total), Some(20));
    assert_eq!(stats.abnormal.as_deref(), Some("worn out"));

    guest.answer("GetVolumeStats", answer(vec![usage(1, 10), usage(1, 11)], false));
    assert_refused(agent.volume_stats("/data").await, "GetVolumeStats", "same unit");
    guest.answer("GetVolumeStats", answer(vec![usage(99, 10)], false));
    assert_refused(agent.volume_stats("/data").await, "GetVolumeStats", "99 is no unit");
    assert_eq!(agent.volume_stats("").await.unwrap_err().kind(), AgentErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_guest_tells_what_it_is_capable_of() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let answer = |block, handlers| {
        let details = wire::AgentDetails {
            version: "1".into(),
            storage_handlers: handlers,
            init_daemon: true,
            ..Default::default()
        };
        Answer::reply(&wire::GuestDetailsResponse {
            mem_block_size_bytes: block,
            agent_details: Some(details).into(),
            support_mem_hotplug_probe: true,
            ..Default::default()
        })
    };
    guest.answer("GetGuestDetails", answer(128 << 20, vec!["9p".into()]));
    let details = agent.guest_details().await.unwrap();
    let asked: wire::GuestDetailsRequest = guest.last("GetGuestDetails");
    assert!(asked.mem_block_size && asked.mem_hotplug_probe);
    assert_eq!((details.mem_block_size, details.mem_hotplug_probe), (128 << 20, true));
    assert_eq!((details.storage_handlers.as_slice(), details.init_daemon), (&["9p".to_owned()][..], true));
    guest.answer("GetGuestDetails", answer(100, Vec::new()));
    assert_refused(agent.guest_details().await, "GetGuestDetails", "100 bytes");
    guest.answer("GetGuestDetails", answer(0, vec![String::new(); 257]));
    assert_refused(agent.guest_details().await, "GetGuestDetails", "storage handlers");
}

/// The kata-agent reports signal n as n; where this side has sent it, that is told from an exit with n.
#[tokio::test]
async fn a_process_that_an_agent_of_others_killed_has_ended_by_its_signal() {
    let (id, exec) = (container(), exec());
    for (sent_to, sent, reported, told) in
        [(Some(&exec), 15, 15, 143), (None, 9, 9, 137), (Some(&exec), 15, 1, 1), (Some(&exec), 15, 0, 0)]
    {
        let Rig { guest, agent, .. } = &Rig::foreign().await;
        agent.signal_process(&id, sent_to, sent).await.unwrap();
        guest.exit.send_replace(Some(reported));
        for _ in 0..2 {
            assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), told, "{sent_to:?} {sent} {reported}");
        }
    }
    // One that was not killed from here may have exited with any code.
    let Rig { guest, agent, .. } = &Rig::foreign().await;
    guest.exit.send_replace(Some(15));
    assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 15);
    // The `vc-agent` says what it means.
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.signal_process(&id, Some(&exec), 15).await.unwrap();
    guest.exit.send_replace(Some(15));
    assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 15);
}
