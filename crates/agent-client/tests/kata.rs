//! The Kata agent protocol against a scripted guest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod guest;

use std::{sync::Arc, time::Duration};

use guest::{Answer, Rig};
use oci_spec::runtime::{Process, ProcessBuilder, Spec};
use tokio::time::timeout;
use ttrpc::Code;
use virtcontainers_agent_client::{
    Agent, AgentError, AgentErrorKind, ContainerSpec, GuestSandbox, KataAgent, KernelModule,
    MAX_GUEST_MESSAGE, ProcessSpec, Storage, TerminalSize, Timeouts,
};
use virtcontainers_agent_protocol::api::agent as wire;
use virtcontainers_types::{ContainerId, ExecId};

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(20);

fn container() -> ContainerId {
    ContainerId::new("web").unwrap()
}

fn exec() -> ExecId {
    ExecId::new("shell").unwrap()
}

fn storage() -> Storage {
    Storage {
        driver: "virtio-fs".into(),
        driver_options: vec!["a=b".into()],
        source: "kataShared".into(),
        fstype: "virtiofs".into(),
        options: vec!["ro".into()],
        mount_point: "/run/shared".into(),
    }
}

fn container_spec(stdin: bool) -> ContainerSpec {
    let spec = Spec::default();
    ContainerSpec { id: container(), spec, storages: vec![storage()], stdin, shared_pid_namespace: true }
}

fn process(terminal: bool) -> Process {
    ProcessBuilder::default()
        .args(["ls".to_owned(), "-l".to_owned()])
        .cwd("/")
        .terminal(terminal)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_sandbox_and_a_container_reach_the_guest_as_configured() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let sandbox = GuestSandbox {
        hostname: "box".into(),
        dns: vec!["nameserver 10.0.0.1".into()],
        storages: vec![storage()],
        shared_pid_namespace: true,
        sandbox_id: "s1".into(),
        kernel_modules: vec![KernelModule { name: "nbd".into(), parameters: vec!["max_part=4".into()] }],
        guest_hook_path: "/usr/share/hooks".into(),
    };
    agent.create_sandbox(sandbox).await.unwrap();
    let seen: wire::CreateSandboxRequest = guest.last("CreateSandbox");
    assert_eq!((seen.hostname.as_str(), seen.sandbox_id.as_str(), seen.sandbox_pidns), ("box", "s1", true));
    assert_eq!(seen.dns, ["nameserver 10.0.0.1"]);

    agent.create_container(container_spec(true)).await.unwrap();
    let seen: wire::CreateContainerRequest = guest.last("CreateContainer");
    assert_eq!((seen.container_id.as_str(), seen.exec_id.as_str(), seen.sandbox_pidns), ("web", "web", true));
    let [mount] = seen.storages.as_slice() else { panic!("{} storages", seen.storages.len()) };
    assert_eq!((mount.driver.as_str(), mount.source.as_str()), ("virtio-fs", "kataShared"));
    assert_eq!((mount.fstype.as_str(), mount.mount_point.as_str()), ("virtiofs", "/run/shared"));
    assert_eq!(
        (mount.driver_options.as_slice(), mount.options.as_slice()),
        (&["a=b".into()][..], &["ro".into()][..])
    );
    assert_eq!(seen.OCI.Process.Args, ["sh"], "the OCI spec is in the request");
    assert_eq!(guest.methods(), ["CreateSandbox", "CreateContainer"], "no CloseStdin where stdin is wanted");
}

#[tokio::test]
async fn calls_on_a_container_name_it() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let id = container();
    agent.start_container(&id).await.unwrap();
    agent.pause_container(&id).await.unwrap();
    agent.resume_container(&id).await.unwrap();
    agent.remove_container(&id, None).await.unwrap();
    assert_eq!(guest.last::<wire::StartContainerRequest>("StartContainer").container_id, "web");
    assert_eq!(guest.last::<wire::PauseContainerRequest>("PauseContainer").container_id, "web");
    assert_eq!(guest.last::<wire::ResumeContainerRequest>("ResumeContainer").container_id, "web");
    assert_eq!(guest.last::<wire::RemoveContainerRequest>("RemoveContainer").container_id, "web");
}

#[tokio::test]
async fn calls_on_a_process_name_it_and_its_container() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let (id, exec) = (container(), exec());
    agent.exec_process(&id, &exec, ProcessSpec { process: process(true), stdin: true }).await.unwrap();
    let seen: wire::ExecProcessRequest = guest.last("ExecProcess");
    assert_eq!((seen.container_id.as_str(), seen.exec_id.as_str()), ("web", "shell"));
    assert_eq!(
        (seen.process.Args.clone(), seen.process.Terminal),
        (vec!["ls".to_owned(), "-l".to_owned()], true)
    );

    agent.signal_process(&id, Some(&exec), 15).await.unwrap();
    let seen: wire::SignalProcessRequest = guest.last("SignalProcess");
    assert_eq!((seen.container_id.as_str(), seen.exec_id.as_str(), seen.signal), ("web", "shell", 15));
    agent.signal_process(&id, None, 9).await.unwrap();
    let seen: wire::SignalProcessRequest = guest.last("SignalProcess");
    assert_eq!((seen.container_id.as_str(), seen.exec_id.as_str(), seen.signal), ("web", "", 9));

    agent.resize_terminal(&id, &exec, TerminalSize { rows: 24, columns: 80 }).await.unwrap();
    let seen: wire::TtyWinResizeRequest = guest.last("TtyWinResize");
    assert_eq!(
        (seen.container_id.as_str(), seen.exec_id.as_str(), seen.row, seen.column),
        ("web", "shell", 24, 80)
    );

    assert_eq!(agent.write_stdin(&id, &exec, b"hello").await.unwrap(), 5);
    let seen: wire::WriteStreamRequest = guest.last("WriteStdin");
    assert_eq!((seen.exec_id.as_str(), seen.data.as_slice()), ("shell", &b"hello"[..]));

    guest.answer("ReadStdout", Answer::Data(b"out".to_vec()));
    guest.answer("ReadStderr", Answer::Data(b"err".to_vec()));
    assert_eq!(agent.read_stdout(&id, &exec, 100).await.unwrap(), b"out");
    assert_eq!(agent.read_stderr(&id, &exec, u32::MAX).await.unwrap(), b"err");
    assert_eq!(guest.last::<wire::ReadStreamRequest>("ReadStdout").len, 100);
    assert_eq!(guest.last::<wire::ReadStreamRequest>("ReadStderr").len, 1 << 20, "what one message carries");

    agent.close_stdin(&id, &exec).await.unwrap();
    assert_eq!(guest.last::<wire::CloseStdinRequest>("CloseStdin").exec_id, "shell");
    guest.exit.send_replace(Some(7));
    assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 7);
    assert_eq!(guest.last::<wire::WaitProcessRequest>("WaitProcess").exec_id, "shell");
}

#[tokio::test]
async fn an_input_that_nobody_writes_is_closed_at_once() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.create_container(container_spec(false)).await.unwrap();
    assert_eq!(guest.methods(), ["CreateContainer", "CloseStdin"]);
    assert_eq!(guest.last::<wire::CloseStdinRequest>("CloseStdin").exec_id, "web");
    agent
        .exec_process(&container(), &exec(), ProcessSpec { process: process(false), stdin: false })
        .await
        .unwrap();
    assert_eq!(guest.methods()[2..], ["ExecProcess", "CloseStdin"]);

    // To close a terminal's input would end its output; and a process may have ended before its input is closed.
    agent
        .exec_process(&container(), &exec(), ProcessSpec { process: process(true), stdin: false })
        .await
        .unwrap();
    assert_eq!(guest.count("CloseStdin"), 2);
    guest.answer("CloseStdin", Answer::Fail(Code::NOT_FOUND, "no such process".into()));
    agent
        .exec_process(&container(), &exec(), ProcessSpec { process: process(false), stdin: false })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_container_whose_input_cannot_be_closed_is_not_left_behind() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("CloseStdin", Answer::Fail(Code::INTERNAL, "broken".into()));
    let error = agent.create_container(container_spec(false)).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Failed);
    assert_eq!(guest.methods(), ["CreateContainer", "CloseStdin", "RemoveContainer"]);
}

#[tokio::test]
async fn the_agent_tells_of_itself_and_its_text_is_cleaned() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    agent.check().await.unwrap();
    let info = agent.info().await.unwrap();
    assert_eq!((info.agent_version.as_str(), info.protocol_version.as_str()), ("4.1.0 [2J", "0.0.1"));
    assert!(info.init_daemon && info.supports_seccomp);
    guest.answer("Check", Answer::Number(2));
    assert!(agent.check().await.unwrap_err().is_not_ready());
    guest.answer("Check", Answer::Number(99));
    assert_eq!(agent.check().await.unwrap_err().kind(), AgentErrorKind::Protocol);
}

#[tokio::test]
async fn failures_keep_their_code_and_a_bounded_message() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    for (code, kind) in [
        (Code::NOT_FOUND, AgentErrorKind::NotFound),
        (Code::ALREADY_EXISTS, AgentErrorKind::AlreadyExists),
        (Code::INVALID_ARGUMENT, AgentErrorKind::InvalidArgument),
        (Code::UNIMPLEMENTED, AgentErrorKind::Unimplemented),
        (Code::INTERNAL, AgentErrorKind::Failed),
    ] {
        guest.answer("StartContainer", Answer::Fail(code, "x\n".repeat(100_000)));
        let error = agent.start_container(&container()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        if let AgentError::Rpc { method, message, .. } = error {
            assert_eq!(method, "StartContainer");
            assert!(message.len() <= MAX_GUEST_MESSAGE && !message.contains('\n'));
        }
    }
}

#[tokio::test]
async fn a_guest_cannot_hand_over_more_than_was_asked_for() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("ReadStdout", Answer::Data(vec![0; 101]));
    let error = agent.read_stdout(&container(), &exec(), 100).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Protocol);
    guest.answer("WriteStdin", Answer::Number(6));
    let error = agent.write_stdin(&container(), &exec(), b"hello").await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Protocol);
    guest.answer("WaitProcess", Answer::Number(-1));
    let error = agent.wait_process(&container(), &exec()).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Protocol);
}

#[tokio::test]
async fn rubbish_instead_of_replies_is_an_error_and_no_hang() {
    use tokio::io::AsyncWriteExt as _;
    let (near, mut far) = tokio::net::UnixStream::pair().unwrap();
    let agent = KataAgent::over(near).timeouts(Timeouts::default().call(SOON));
    // A header that announces 4 GiB, then zeros: nothing of that size is ever held.
    far.write_all(&[0xff; 10]).await.unwrap();
    far.write_all(&[0; 10_000]).await.unwrap();
    let error = agent.start_container(&container()).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Timeout);
    drop(far);
    let error = agent.wait_process(&container(), &exec()).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Disconnected);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout_and_disturbs_no_other_call() {
    let rig = Rig::new().await;
    let agent = rig.agent.timeouts(Timeouts::default().call(SOON));
    rig.guest.answer("StartContainer", Answer::Silence);
    match agent.start_container(&container()).await.unwrap_err() {
        AgentError::Timeout { method, after } => assert_eq!((method, after), ("StartContainer", SOON)),
        error => panic!("{error}"),
    }
    agent.check().await.unwrap();
}

#[tokio::test]
async fn calls_that_are_dropped_disturb_no_other_call() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("ReadStdout", Answer::Silence);
    guest.answer("WriteStdin", Answer::Silence);
    let big = vec![0; 1 << 20];
    for _ in 0..20 {
        // Dropped at various points: before, during and after the request is written.
        timeout(Duration::ZERO, agent.write_stdin(&container(), &exec(), &big)).await.unwrap_err();
        timeout(Duration::from_micros(300), agent.write_stdin(&container(), &exec(), &big))
            .await
            .unwrap_err();
        timeout(Duration::from_millis(3), agent.read_stdout(&container(), &exec(), 10)).await.unwrap_err();
    }
    agent.check().await.unwrap();
}

#[tokio::test]
async fn many_calls_are_under_way_at_once() {
    let rig = Rig::new().await;
    let (id, agent) = (container(), &rig.agent);
    let execs: Vec<_> = (0..100).map(|n| ExecId::new(format!("e{n}")).unwrap()).collect();
    let waits = futures::future::join_all(execs.iter().map(|exec| agent.wait_process(&id, exec)));
    let others = async {
        for exec in &execs {
            assert_eq!(agent.write_stdin(&id, exec, b"x").await.unwrap(), 1);
        }
        rig.guest.exit.send_replace(Some(3));
    };
    let (codes, ()) = timeout(LATE, futures::future::join(waits, others)).await.unwrap();
    assert!(codes.into_iter().all(|code| code.unwrap() == 3));
}

#[tokio::test]
async fn a_connection_that_ends_ends_every_call_under_way() {
    let rig = Rig::new().await;
    rig.guest.answer("ReadStdout", Answer::Silence);
    let (id, exec) = (container(), exec());
    let calls =
        async { tokio::join!(rig.agent.wait_process(&id, &exec), rig.agent.read_stdout(&id, &exec, 10)) };
    let cut = async {
        while rig.guest.methods().len() < 2 {
            tokio::task::yield_now().await;
        }
        rig.cut();
    };
    let ((waited, read), ()) = timeout(LATE, futures::future::join(calls, cut)).await.unwrap();
    assert_eq!(waited.unwrap_err().kind(), AgentErrorKind::Disconnected);
    assert_eq!(read.unwrap_err().kind(), AgentErrorKind::Disconnected);
    assert!(!rig.agent.is_connected());
    let error = timeout(LATE, rig.agent.check()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Disconnected);
    rig.agent.destroy_sandbox().await.expect("a guest that is gone is destroyed");
}

#[tokio::test]
async fn a_guest_that_powers_off_under_destroy_is_destroyed() {
    let rig = Rig::new().await;
    rig.guest.answer("DestroySandbox", Answer::Silence);
    let cut = async {
        while rig.guest.count("DestroySandbox") == 0 {
            tokio::task::yield_now().await;
        }
        rig.cut();
    };
    let (result, ()) = timeout(LATE, futures::future::join(rig.agent.destroy_sandbox(), cut)).await.unwrap();
    result.unwrap();
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("DestroySandbox", Answer::Fail(Code::INTERNAL, "busy".into()));
    assert_eq!(agent.destroy_sandbox().await.unwrap_err().kind(), AgentErrorKind::Failed);
}

/// The kata-agent reports the end of an output as an error, whose code and text differ with its version.
#[tokio::test]
async fn an_error_at_the_end_of_an_output_is_its_end() {
    for code in [Code::INVALID_ARGUMENT, Code::NOT_FOUND, Code::INTERNAL] {
        let rig = Rig::new().await;
        let (id, exec) = (container(), exec());
        rig.guest.answer("ReadStdout", Answer::Fail(code, "whatever".into()));
        let mut read = std::pin::pin!(rig.agent.read_stdout(&id, &exec, 10));
        timeout(SOON, &mut read).await.expect_err("the process runs still: nobody knows yet");
        rig.guest.exit.send_replace(Some(0));
        assert_eq!(timeout(LATE, read).await.unwrap().unwrap(), b"");
        assert_eq!(rig.agent.wait_process(&id, &exec).await.unwrap(), 0);
        assert_eq!(rig.guest.count("WaitProcess"), 1, "the kata-agent answers one wait only");
    }
}

#[tokio::test]
async fn an_error_of_a_read_stays_one_when_there_is_no_such_process() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    guest.answer("ReadStdout", Answer::Fail(Code::NOT_FOUND, "no container".into()));
    guest.answer("WaitProcess", Answer::Fail(Code::NOT_FOUND, "no container".into()));
    let error = agent.read_stdout(&container(), &exec(), 10).await.unwrap_err();
    assert!(matches!(error, AgentError::Rpc { method: "ReadStdout", .. }), "{error}");
    guest.answer("ReadStdout", Answer::Fail(Code::UNIMPLEMENTED, "".into()));
    let error = agent.read_stdout(&container(), &exec(), 10).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Unimplemented);
}

#[tokio::test]
async fn the_end_of_a_process_is_known_until_its_id_is_used_anew() {
    let Rig { guest, agent, .. } = &Rig::new().await;
    let (id, exec) = (container(), exec());
    let spec = || ProcessSpec { process: process(false), stdin: true };
    guest.answer("WaitProcess", Answer::Fail(Code::NOT_FOUND, "not yet".into()));
    assert!(agent.wait_process(&id, &exec).await.is_err());
    guest.answer("WaitProcess", Answer::Number(1));
    for _ in 0..3 {
        assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 1);
    }
    assert_eq!(guest.count("WaitProcess"), 2, "a failure is not remembered, an answer is");
    guest.answer("WaitProcess", Answer::Number(2));
    agent.exec_process(&id, &exec, spec()).await.unwrap();
    assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 2);
    guest.answer("WaitProcess", Answer::Number(3));
    agent.remove_container(&id, None).await.unwrap();
    assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 3);
}

#[tokio::test]
async fn a_wait_that_is_dropped_leaves_its_answer_to_the_next() {
    let rig = Rig::new().await;
    let agent = Arc::new(rig.agent);
    let (id, exec) = (container(), exec());
    timeout(SOON, agent.wait_process(&id, &exec)).await.unwrap_err();
    rig.guest.exit.send_replace(Some(5));
    assert_eq!(agent.wait_process(&id, &exec).await.unwrap(), 5);
    assert_eq!(rig.guest.count("WaitProcess"), 1);
}
