//! What a guest is told beyond its containers' lives: each request as the protocol has it, and none that it cannot carry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod guest;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use guest::{Answer, Rig};
use oci_spec::runtime::{LinuxMemoryBuilder, LinuxRdma, LinuxResources, LinuxResourcesBuilder};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, ReadBuf},
    time::timeout,
};
use ttrpc::Code;
use virtcontainers_agent_client::{
    Agent, AgentError, AgentErrorKind, CopyError, FileChunk, OnlineCpuMem, Storage, Timeouts, copy_file,
    host_time,
    mock::{Method, MockAgent, MockFailure},
    sync_clock,
};
use virtcontainers_agent_protocol::api::agent as wire;
use virtcontainers_types::{ContainerId, ExecId};

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(20);

fn container() -> ContainerId {
    ContainerId::new("web").unwrap()
}

fn limited(bytes: i64) -> LinuxResources {
    let memory = LinuxMemoryBuilder::default().limit(bytes).build().unwrap();
    LinuxResourcesBuilder::default().memory(memory).build().unwrap()
}

#[tokio::test]
async fn a_container_gets_new_limits() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.update_container(&container(), limited(1 << 30)).await.unwrap();
    let seen: wire::UpdateContainerRequest = guest.last("UpdateContainer");
    assert_eq!((seen.container_id.as_str(), seen.resources.Memory.Limit), ("web", 1 << 30));

    let mut cannot = limited(1);
    cannot.set_rdma(Some([("mlx".to_owned(), LinuxRdma::default())].into()));
    match agent.update_container(&container(), cannot).await.unwrap_err() {
        AgentError::Argument { method: "UpdateContainer", reason } => {
            assert!(reason.contains("linux.resources.rdma"), "{reason}");
        }
        error => panic!("{error}"),
    }
    assert_eq!(guest.count("UpdateContainer"), 1, "a limit that cannot be carried is not dropped on the way");

    let rig = Rig::new().await;
    let agent = rig.agent.timeouts(Timeouts::default().call(SOON));
    rig.guest.answer("UpdateContainer", Answer::Silence);
    let error = agent.update_container(&container(), limited(1)).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Timeout);
}

#[tokio::test]
async fn a_removal_may_take_as_long_as_it_was_given() {
    let rig = Rig::new().await;
    let agent = rig.agent.timeouts(Timeouts::default().call(Duration::ZERO));
    for (given, seconds) in [
        (Some(Duration::from_millis(1200)), 2),
        (Some(Duration::from_secs(5)), 5),
        (Some(Duration::MAX), u32::MAX),
    ] {
        agent.remove_container(&container(), given).await.unwrap();
        let seen: wire::RemoveContainerRequest = rig.guest.last("RemoveContainer");
        assert_eq!(seen.timeout, seconds, "{given:?}");
    }
    rig.guest.answer("RemoveContainer", Answer::Silence);
    let error = agent.remove_container(&container(), Some(SOON)).await.unwrap_err();
    assert!(
        matches!(error, AgentError::Timeout { after: SOON, .. }),
        "the host's patience counts on top: {error}"
    );
}

fn file(size: u64) -> FileChunk {
    let (file_mode, dir_mode, uid, gid) = (0o100_640, 0o750, 4_000_000_000, 100);
    FileChunk {
        path: "/run/a".into(),
        file_size: size,
        file_mode,
        dir_mode,
        uid,
        gid,
        ..FileChunk::default()
    }
}

#[tokio::test]
async fn a_piece_of_a_file_arrives_as_it_is() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.copy_file(FileChunk { offset: 4, data: b"data".to_vec(), ..file(9) }).await.unwrap();
    let seen: wire::CopyFileRequest = guest.last("CopyFile");
    assert_eq!(
        (seen.path.as_str(), seen.file_size, seen.offset, seen.data.as_slice()),
        ("/run/a", 9, 4, &b"data"[..])
    );
    assert_eq!((seen.file_mode, seen.dir_mode), (0o100_640, 0o750));
    assert_eq!((seen.uid.cast_unsigned(), seen.gid), (4_000_000_000, 100), "all 32 bits of an id");

    for wrong in [
        FileChunk { path: "a".into(), ..file(0) },
        FileChunk { path: String::new(), ..file(0) },
        FileChunk { data: vec![0; 5], ..file(4) },
        FileChunk { offset: 5, ..file(4) },
        FileChunk { offset: u64::MAX, data: vec![0; 5], ..file(u64::MAX) },
        file(u64::MAX),
        FileChunk { uid: u32::MAX, ..file(0) },
        FileChunk { gid: u32::MAX, ..file(0) },
        FileChunk { data: vec![0; FileChunk::MAX + 1], ..file(1 << 30) },
    ] {
        let shown = format!("{:?} {} {}", wrong.path, wrong.file_size, wrong.offset);
        let error = agent.copy_file(wrong).await.unwrap_err();
        assert_eq!(error.kind(), AgentErrorKind::InvalidArgument, "{shown}");
    }
    assert_eq!(guest.count("CopyFile"), 1, "nothing of it was sent");
}

#[tokio::test]
async fn a_file_of_any_size_is_copied_in_pieces() {
    for size in [0, 1, FileChunk::MAX, FileChunk::MAX + 1, 3 * FileChunk::MAX] {
        let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let mock = MockAgent::new();
        // What the source has beyond the file is no business of this file.
        copy_file(&mock, file(size as u64), content.as_slice().chain(&b"more"[..])).await.unwrap();
        assert_eq!(mock.count(Method::CopyFile), size.div_ceil(FileChunk::MAX).max(1), "{size}");
        let copied = &mock.guest().files["/run/a"];
        assert!(copied.data == content && copied.uid == 4_000_000_000 && copied.file_mode == 0o100_640);
    }
}

#[tokio::test]
async fn a_copy_that_fails_says_where() {
    let mock = MockAgent::new();
    match copy_file(&mock, file(10), &b"short"[..]).await.unwrap_err() {
        CopyError::Short { path, expected: 10, came: 5 } => assert_eq!(path, "/run/a"),
        error => panic!("{error}"),
    }
    assert_eq!(mock.count(Method::CopyFile), 0, "a piece that is not whole is not sent");

    let begun = vec![0; FileChunk::MAX];
    let broken = begun.as_slice().chain(Broken);
    match copy_file(&mock, file(2 << 20), broken).await.unwrap_err() {
        CopyError::Read { at, source, .. } => {
            assert_eq!((at, source.kind()), (FileChunk::MAX as u64, io::ErrorKind::PermissionDenied));
        }
        error => panic!("{error}"),
    }
    mock.fail(Method::CopyFile, 1, MockFailure::Disconnected);
    match copy_file(&mock, file(0), &b""[..]).await.unwrap_err() {
        CopyError::Agent { source, .. } => assert_eq!(source.kind(), AgentErrorKind::Disconnected),
        error => panic!("{error}"),
    }
}

/// A source that cannot be read.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()))
    }
}

#[tokio::test]
async fn a_clock_is_set_to_the_hosts() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.set_time(Duration::new(1_700_000_000, 123_456_789)).await.unwrap();
    let seen: wire::SetGuestDateTimeRequest = guest.last("SetGuestDateTime");
    assert_eq!((seen.Sec, seen.Usec), (1_700_000_000, 123_456));
    let error = agent.set_time(Duration::MAX).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::InvalidArgument);

    let mock = MockAgent::new();
    mock.delay(Method::Check, Duration::from_millis(20));
    let before = host_time();
    sync_clock(&mock).await.unwrap();
    let set = mock.guest().time.unwrap();
    assert!(set >= before + Duration::from_millis(30), "half the round trip is added");
    assert!(set < host_time() + Duration::from_secs(20));
}

#[tokio::test]
async fn what_concerns_the_guest_as_a_whole_arrives() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.reseed_random(vec![7; 64]).await.unwrap();
    assert_eq!(guest.last::<wire::ReseedRandomDevRequest>("ReseedRandomDev").data, [7; 64]);
    agent.online_cpu_mem(OnlineCpuMem { wait: true, cpus: 3, cpu_only: true }).await.unwrap();
    let seen: wire::OnlineCPUMemRequest = guest.last("OnlineCPUMem");
    assert!(seen.wait && seen.nb_cpus == 3 && seen.cpu_only);
    agent.mem_hotplug_by_probe(vec![1 << 32]).await.unwrap();
    let seen: wire::MemHotplugByProbeRequest = guest.last("MemHotplugByProbe");
    assert_eq!(seen.memHotplugProbeAddr, [1 << 32]);
    agent.add_swap(&[2, 0]).await.unwrap();
    assert_eq!(guest.last::<wire::AddSwapRequest>("AddSwap").PCIPath, [2, 0]);
    agent.add_swap_path("/dev/vdb").await.unwrap();
    assert_eq!(guest.last::<wire::AddSwapPathRequest>("AddSwapPath").path, "/dev/vdb");
    let shm = Storage { driver: "ephemeral".into(), mount_point: "/dev/shm".into(), ..Storage::default() };
    agent.update_ephemeral_mounts(vec![shm]).await.unwrap();
    let seen: wire::UpdateEphemeralMountsRequest = guest.last("UpdateEphemeralMounts");
    assert_eq!(seen.storages[0].mount_point, "/dev/shm");

    for nothing in [
        agent.reseed_random(Vec::new()).await,
        agent.mem_hotplug_by_probe(Vec::new()).await,
        agent.add_swap(&[]).await,
        agent.add_swap_path("").await,
        agent.add_swap_path("/dev/v\0b").await,
        agent.update_ephemeral_mounts(Vec::new()).await,
    ] {
        assert_eq!(nothing.unwrap_err().kind(), AgentErrorKind::InvalidArgument);
    }
    assert_eq!(guest.methods().len(), 6, "nothing of it was sent");
}

#[tokio::test]
async fn calls_that_an_agent_lacks_are_unimplemented() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    for method in ["AddSwap", "CopyFile", "StatsContainer", "OnlineCPUMem"] {
        guest.answer(method, Answer::Fail(Code::UNIMPLEMENTED, "method".into()));
    }
    for error in [
        agent.add_swap(&[1]).await.unwrap_err(),
        agent.copy_file(file(0)).await.unwrap_err(),
        agent.stats_container(&container()).await.unwrap_err(),
        agent.online_cpu_mem(OnlineCpuMem::default()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), AgentErrorKind::Unimplemented, "{error}");
    }
    // Not found is the call where nothing else could be missing, and the volume where one could.
    for method in ["ReseedRandomDev", "GetVolumeStats"] {
        guest.answer(method, Answer::Fail(Code::NOT_FOUND, "not supported".into()));
    }
    assert_eq!(agent.reseed_random(vec![1]).await.unwrap_err().kind(), AgentErrorKind::Unimplemented);
    assert_eq!(agent.volume_stats("/a").await.unwrap_err().kind(), AgentErrorKind::NotFound);
}

#[tokio::test]
async fn a_connection_that_breaks_fails_each_call_under_way_once() {
    let rig = Rig::new().await;
    let calls = [
        "GetOOMEvent",
        "StatsContainer",
        "ListProcesses",
        "UpdateContainer",
        "CopyFile",
        "GetMetrics",
        "GetGuestDetails",
        "SetGuestDateTime",
        "ReadStdout",
        "WriteStdin",
        "SignalProcess",
    ];
    for call in calls {
        rig.guest.answer(call, Answer::Silence);
    }
    let (agent, id, exec) = (&rig.agent, &container(), &ExecId::new("shell").unwrap());
    let under_way = async {
        tokio::join!(
            async {
                vec![agent.oom_event().await.unwrap_err(), agent.wait_process(id, exec).await.unwrap_err()]
            },
            async {
                vec![
                    agent.stats_container(id).await.unwrap_err(),
                    agent.list_processes(id).await.unwrap_err(),
                ]
            },
            async {
                vec![
                    agent.update_container(id, limited(1)).await.unwrap_err(),
                    agent.check().await.unwrap_err(),
                ]
            },
            async { vec![agent.copy_file(file(0)).await.unwrap_err(), agent.metrics().await.unwrap_err()] },
            async { vec![agent.guest_details().await.unwrap_err(), agent.oom_event().await.unwrap_err()] },
            async { vec![agent.set_time(SOON).await.unwrap_err(), agent.info().await.unwrap_err()] },
            async { vec![agent.read_stdout(id, exec, 10).await.unwrap_err()] },
            async { vec![agent.write_stdin(id, exec, b"x").await.unwrap_err()] },
            async { vec![agent.signal_process(id, Some(exec), 9).await.unwrap_err()] },
        )
    };
    let cut = async {
        while rig.guest.methods().len() < 9 {
            tokio::task::yield_now().await;
        }
        rig.cut();
    };
    let (errors, ()) = timeout(LATE, futures::future::join(under_way, cut)).await.unwrap();
    let (a, b, c, d, e, f, g, h, i) = errors;
    let errors: Vec<_> = [a, b, c, d, e, f, g, h, i].into_iter().flatten().collect();
    assert_eq!(errors.len(), 15);
    for error in errors {
        assert_eq!(error.kind(), AgentErrorKind::Disconnected, "{error}");
    }
}
