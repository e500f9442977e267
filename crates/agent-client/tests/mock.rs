//! The mock agent as the tests of others script it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use oci_spec::runtime::{LinuxResources, ProcessBuilder, Spec};
use tokio::time::timeout;
use virtcontainers_agent_client::{
    Agent, AgentErrorKind, ContainerSpec, FileChunk, GuestDetails, GuestProcess, NoopAgent, OnlineCpuMem,
    ProcessSpec, Storage, TerminalSize, VolumeStats,
    mock::{Method, MockAgent, MockProcess},
};
use virtcontainers_types::{ContainerId, ExecId, stats::ContainerStats};

const SOON: Duration = Duration::from_millis(30);

fn id() -> ContainerId {
    ContainerId::new("web").unwrap()
}

async fn running() -> MockAgent {
    let mock = MockAgent::new();
    mock.script_all(MockProcess::endless());
    let (storages, shared_pid_namespace) = (Vec::new(), false);
    let spec = ContainerSpec { id: id(), spec: Spec::default(), storages, stdin: true, shared_pid_namespace };
    mock.create_container(spec).await.unwrap();
    mock.start_container(&id()).await.unwrap();
    mock
}

#[tokio::test]
async fn processes_come_and_go_unless_they_are_scripted() {
    let mock = running().await;
    let exec = ExecId::new("ls").unwrap();
    let process = ProcessBuilder::default().args(["/bin/ls".to_owned(), "-l".to_owned()]).build().unwrap();
    mock.exec_process(&id(), &exec, ProcessSpec { process, stdin: false }).await.unwrap();
    let shown = mock.list_processes(&id()).await.unwrap();
    let [first, second] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((first.args.as_slice(), second.comm.as_str()), (&["sh".to_owned()][..], "ls"));
    assert!(first.pid < second.pid && second.args == ["/bin/ls", "-l"]);
    assert_eq!(mock.stats_container(&id()).await.unwrap().cgroup_stats.pids_stats.current, 2);

    assert!(mock.end(&id(), &exec, 0));
    assert_eq!(mock.list_processes(&id()).await.unwrap().len(), 1);
    mock.set_processes(&id(), vec![GuestProcess { pid: 7, ..GuestProcess::default() }]);
    assert_eq!(mock.list_processes(&id()).await.unwrap()[0].pid, 7);
    let mut stats = ContainerStats::default();
    stats.cgroup_stats.memory_stats.usage.usage = 4096;
    mock.set_stats(&id(), stats.clone());
    assert_eq!(mock.stats_container(&id()).await.unwrap(), stats);

    let stranger = ContainerId::new("other").unwrap();
    for kind in [
        mock.list_processes(&stranger).await.unwrap_err().kind(),
        mock.stats_container(&stranger).await.unwrap_err().kind(),
        mock.update_container(&stranger, LinuxResources::default()).await.unwrap_err().kind(),
    ] {
        assert_eq!(kind, AgentErrorKind::NotFound);
    }
}

#[tokio::test]
async fn signals_sizes_and_limits_are_remembered() {
    let (mock, first) = (running().await, ExecId::from(&id()));
    let size = TerminalSize { rows: 24, columns: 80 };
    mock.resize_terminal(&id(), &first, size).await.unwrap();
    mock.signal_process(&id(), Some(&first), 0).await.unwrap();
    mock.signal_process(&id(), None, 15).await.unwrap();
    mock.update_container(&id(), LinuxResources::default()).await.unwrap();
    assert_eq!(mock.terminal(&id(), &first), Some(size));
    assert_eq!(mock.signals(&id(), &first), [0, 15]);
    assert_eq!(mock.resources(&id()), Some(LinuxResources::default()));
}

#[tokio::test]
async fn memory_runs_out_when_the_test_says_so() {
    let mock = running().await;
    timeout(SOON, mock.oom_event()).await.expect_err("nothing has happened");
    let run_out = async { mock.run_out_of_memory(&id()) };
    let (told, ()) = futures::future::join(mock.oom_event(), run_out).await;
    assert_eq!(told.unwrap(), id());
    timeout(SOON, mock.oom_event()).await.expect_err("told once");
}

#[tokio::test]
async fn what_the_guest_is_told_and_tells_is_the_tests() {
    let mock = MockAgent::new();
    mock.set_time(Duration::from_secs(5)).await.unwrap();
    mock.reseed_random(vec![1, 2]).await.unwrap();
    mock.online_cpu_mem(OnlineCpuMem { cpus: 2, ..OnlineCpuMem::default() }).await.unwrap();
    mock.mem_hotplug_by_probe(vec![1 << 30]).await.unwrap();
    mock.add_swap(&[2, 16]).await.unwrap();
    mock.add_swap_path("/dev/vdb").await.unwrap();
    mock.update_ephemeral_mounts(vec![Storage::default()]).await.unwrap();
    let told = mock.guest();
    assert_eq!((told.time, told.random), (Some(Duration::from_secs(5)), vec![vec![1, 2]]));
    assert_eq!((told.online.len(), told.probed.as_slice(), told.mounts.len()), (1, &[1 << 30][..], 1));
    assert_eq!(told.swaps, ["02/10", "/dev/vdb"]);

    mock.set_metrics("a 1\n");
    mock.set_volume("/data", VolumeStats { abnormal: Some("worn".into()), ..VolumeStats::default() });
    mock.set_diagnostic_data("termination", "bye");
    mock.set_guest_details(GuestDetails { mem_block_size: 1 << 27, ..GuestDetails::default() });
    assert_eq!(mock.metrics().await.unwrap(), "a 1\n");
    assert_eq!(mock.volume_stats("/data").await.unwrap().abnormal.as_deref(), Some("worn"));
    assert_eq!(mock.volume_stats("/").await.unwrap_err().kind(), AgentErrorKind::NotFound);
    assert_eq!(mock.diagnostic_data("termination", Some(&id())).await.unwrap(), "bye");
    assert_eq!(mock.diagnostic_data("other", None).await.unwrap_err().kind(), AgentErrorKind::NotFound);
    assert_eq!(mock.guest_details().await.unwrap().mem_block_size, 1 << 27);
    assert_eq!(mock.count(Method::AddSwap) + mock.count(Method::AddSwapPath), 2);
}

#[tokio::test]
async fn pieces_of_a_file_come_in_order() {
    let mock = MockAgent::new();
    let piece = |offset, data: &[u8]| FileChunk {
        path: "/a".into(),
        file_size: 4,
        offset,
        data: data.to_vec(),
        ..FileChunk::default()
    };
    for (wrong, why) in [(piece(2, b"cd"), "no beginning"), (piece(0, b"abcde"), "too long")] {
        assert_eq!(mock.copy_file(wrong).await.unwrap_err().kind(), AgentErrorKind::InvalidArgument, "{why}");
    }
    mock.copy_file(piece(0, b"ab")).await.unwrap();
    assert_eq!(mock.copy_file(piece(3, b"d")).await.unwrap_err().kind(), AgentErrorKind::InvalidArgument);
    mock.copy_file(piece(2, b"cd")).await.unwrap();
    assert_eq!(mock.guest().files["/a"].data, b"abcd");
}

/// With the agent that is not there, nothing fails and nothing ever runs out of memory.
#[tokio::test]
async fn the_agent_that_is_not_there_takes_everything() {
    let noop = NoopAgent;
    noop.update_container(&id(), LinuxResources::default()).await.unwrap();
    assert_eq!(noop.stats_container(&id()).await.unwrap(), ContainerStats::default());
    assert_eq!(noop.list_processes(&id()).await.unwrap(), []);
    noop.copy_file(FileChunk::default()).await.unwrap();
    noop.set_time(Duration::ZERO).await.unwrap();
    assert_eq!(noop.guest_details().await.unwrap(), GuestDetails::default());
    timeout(SOON, noop.oom_event()).await.expect_err("it waits for good");
}
