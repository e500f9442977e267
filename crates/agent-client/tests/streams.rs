//! The standard streams and the mock agent that serves them here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use oci_spec::runtime::{Process, Spec};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use virtcontainers_agent_client::{
    Agent, AgentErrorKind, ContainerSpec, OutputStream, ProcessOutput, ProcessSpec, ProcessStdin, RpcCode,
    io::CHUNK,
    mock::{Method, MockAgent, MockFailure, MockProcess},
};
use virtcontainers_types::{ContainerId, ExecId};

const SOON: Duration = Duration::from_millis(30);
const LATE: Duration = Duration::from_secs(30);

struct Rig {
    mock: MockAgent,
    agent: Arc<dyn Agent>,
    id: ContainerId,
    exec: ExecId,
}

impl Rig {
    /// A container whose first process is scripted, and started.
    async fn new(process: MockProcess) -> Self {
        let (mock, id) = (MockAgent::new(), ContainerId::new("c").unwrap());
        let exec = ExecId::from(&id);
        mock.script(&exec, process);
        let spec = ContainerSpec {
            id: id.clone(),
            spec: Spec::default(),
            storages: Vec::new(),
            stdin: true,
            shared_pid_namespace: false,
        };
        mock.create_container(spec).await.unwrap();
        mock.start_container(&id).await.unwrap();
        Self { agent: Arc::new(mock.clone()), mock, id, exec }
    }

    fn stdin(&self) -> ProcessStdin {
        ProcessStdin::new(self.agent.clone(), self.id.clone(), self.exec.clone())
    }

    fn stdout(&self) -> ProcessOutput {
        ProcessOutput::new(self.agent.clone(), self.id.clone(), self.exec.clone(), OutputStream::Stdout)
    }

    fn stderr(&self) -> ProcessOutput {
        ProcessOutput::new(self.agent.clone(), self.id.clone(), self.exec.clone(), OutputStream::Stderr)
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn outputs_are_read_to_their_end() {
    let stdout = pattern(300_000);
    let process =
        MockProcess { stdout: stdout.clone(), stderr: b"oh".to_vec(), code: 3, ..MockProcess::default() };
    let rig = Rig::new(process).await;
    let (mut out, mut err) = (Vec::new(), String::new());
    rig.stdout().read_to_end(&mut out).await.unwrap();
    rig.stderr().read_to_string(&mut err).await.unwrap();
    assert!(out == stdout && err == "oh");
    assert_eq!(rig.agent.wait_process(&rig.id, &rig.exec).await.unwrap(), 3);
    assert!(rig.mock.count(Method::ReadStdout) < 10, "in large pieces");
}

/// What a guest sends next is on its way while this side works on what it has; no further.
#[tokio::test]
async fn of_a_long_output_one_piece_is_fetched_ahead() {
    let sent = pattern(5 * CHUNK);
    let rig = Rig::new(MockProcess { stdout: sent.clone(), ..MockProcess::endless() }).await;
    let (mut stdout, mut received) = (rig.stdout(), vec![0; CHUNK]);
    stdout.read_exact(&mut received[..1]).await.unwrap();
    assert_eq!(rig.mock.count(Method::ReadStdout), 2, "one that was read, one ahead");
    stdout.read_exact(&mut received[1..]).await.unwrap();
    assert_eq!(rig.mock.count(Method::ReadStdout), 2, "no second one ahead");
    assert!(received == sent[..CHUNK]);
    let mut rest = vec![0; 4 * CHUNK];
    stdout.read_exact(&mut rest).await.unwrap();
    assert!(rest == sent[CHUNK..], "in order");
    timeout(SOON, stdout.read(&mut rest)).await.expect_err("the process goes on");
    assert!(rig.mock.end(&rig.id, &rig.exec, 0));
    assert_eq!(timeout(LATE, stdout.read(&mut rest)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn an_error_ahead_shows_after_the_bytes_before_it() {
    let sent = pattern(CHUNK);
    let rig = Rig::new(MockProcess { stdout: sent.clone(), ..MockProcess::endless() }).await;
    let (mut stdout, mut received) = (rig.stdout(), vec![0; CHUNK]);
    rig.mock.delay(Method::ReadStdout, Duration::from_millis(5));
    let fail_the_second = async {
        while rig.mock.count(Method::ReadStdout) == 0 {
            tokio::task::yield_now().await;
        }
        rig.mock.fail(Method::ReadStdout, 1, MockFailure::Disconnected);
    };
    let (first, ()) = timeout(LATE, async { tokio::join!(stdout.read_u8(), fail_the_second) }).await.unwrap();
    received[0] = first.unwrap();
    assert_eq!(rig.mock.count(Method::ReadStdout), 2);
    stdout.read_exact(&mut received[1..]).await.unwrap();
    assert!(received == sent);
    let error = timeout(LATE, stdout.read(&mut received)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(rig.mock.count(Method::ReadStdout), 2, "the error of the call that was made ahead");
}

#[tokio::test]
async fn short_outputs_are_not_fetched_ahead() {
    let rig = Rig::new(MockProcess::cat()).await;
    let (mut stdin, mut stdout, mut buffer) = (rig.stdin(), rig.stdout(), [0; 100]);
    for calls in 1..4 {
        stdin.write_all(b"line\n").await.unwrap();
        stdin.flush().await.unwrap();
        assert_eq!(stdout.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(rig.mock.count(Method::ReadStdout), calls);
    }
}

#[tokio::test]
async fn eight_mebibytes_go_through_a_process_and_back() {
    let rig = Rig::new(MockProcess::cat()).await;
    let sent = pattern(8 << 20);
    let (mut stdin, mut stdout, mut received) = (rig.stdin(), rig.stdout(), Vec::new());
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        stdin.shutdown().await.unwrap();
    };
    let ((), read) =
        timeout(LATE, async { tokio::join!(write, stdout.read_to_end(&mut received)) }).await.unwrap();
    read.unwrap();
    assert!(received == sent);
    assert_eq!(rig.mock.count(Method::CloseStdin), 1);
    stdin.shutdown().await.unwrap();
    assert_eq!(rig.mock.count(Method::CloseStdin), 1, "closed once");
    assert!(stdin.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn a_read_that_is_dropped_loses_nothing() {
    let rig = Rig::new(MockProcess::cat()).await;
    rig.mock.delay(Method::ReadStdout, Duration::from_millis(5));
    let (mut stdin, mut stdout) = (rig.stdin(), rig.stdout());
    let sent = pattern(2000);
    let write = async {
        for piece in sent.chunks(50) {
            stdin.write_all(piece).await.unwrap();
            stdin.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stdin.shutdown().await.unwrap();
    };
    let read = async {
        let (mut received, mut buffer) = (Vec::new(), [0; 7]);
        loop {
            match timeout(Duration::from_millis(2), stdout.read(&mut buffer)).await {
                Err(_dropped) => {}
                Ok(Ok(0)) => return received,
                Ok(read) => received.extend_from_slice(&buffer[..read.unwrap()]),
            }
        }
    };
    let (received, ()) = timeout(LATE, async { tokio::join!(read, write) }).await.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_write_that_is_dropped_is_sent_once() {
    let rig = Rig::new(MockProcess::cat()).await;
    rig.mock.delay(Method::WriteStdin, Duration::from_millis(10));
    let (mut stdin, mut stdout) = (rig.stdin(), rig.stdout());
    let mut accepted = Vec::new();
    for n in 0..20u8 {
        // What a write has accepted, it says at once; one that is dropped has accepted nothing.
        if let Ok(taken) = timeout(Duration::from_millis(4), stdin.write(&[n])).await {
            assert_eq!(taken.unwrap(), 1);
            accepted.push(n);
        }
    }
    stdin.shutdown().await.unwrap();
    let mut received = Vec::new();
    stdout.read_to_end(&mut received).await.unwrap();
    assert!(!accepted.is_empty() && accepted.len() < 20, "some were dropped: {accepted:?}");
    assert_eq!(received, accepted);
}

#[tokio::test]
async fn a_process_that_is_gone_is_a_broken_pipe() {
    let rig = Rig::new(MockProcess::default()).await;
    let mut stdin = rig.stdin();
    let result = async {
        stdin.write_all(b"x").await?;
        stdin.flush().await
    };
    assert_eq!(result.await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    rig.agent.remove_container(&rig.id, None).await.unwrap();
    rig.stdin().shutdown().await.expect("the input of a process that is gone is closed");
    let error = rig.stdout().read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn errors_of_the_agent_come_through_once_each() {
    let rig = Rig::new(MockProcess::output("hello", 0)).await;
    rig.mock.fail(Method::ReadStdout, 1, MockFailure::Disconnected);
    let mut stdout = rig.stdout();
    let error = stdout.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn the_mock_keeps_containers_as_an_agent_does() {
    let rig = Rig::new(MockProcess::endless()).await;
    let (agent, id, exec) = (&rig.agent, &rig.id, ExecId::new("e").unwrap());
    let spec = rig.mock.container(id).unwrap();
    let process = || ProcessSpec { process: Process::default(), stdin: false };
    assert_eq!(agent.create_container(spec).await.unwrap_err().kind(), AgentErrorKind::AlreadyExists);
    assert_eq!(agent.start_container(id).await.unwrap_err().kind(), AgentErrorKind::FailedPrecondition);
    agent.pause_container(id).await.unwrap();
    assert_eq!(agent.pause_container(id).await.unwrap_err().kind(), AgentErrorKind::FailedPrecondition);
    agent.resume_container(id).await.unwrap();

    rig.mock.script(&exec, MockProcess { ignores: vec![15], ..MockProcess::endless() });
    agent.exec_process(id, &exec, process()).await.unwrap();
    assert_eq!(
        agent.exec_process(id, &exec, process()).await.unwrap_err().kind(),
        AgentErrorKind::AlreadyExists
    );
    agent.signal_process(id, Some(&exec), 15).await.unwrap();
    timeout(SOON, agent.wait_process(id, &exec)).await.expect_err("it ignores SIGTERM");
    agent.signal_process(id, None, 9).await.unwrap();
    assert_eq!(timeout(LATE, agent.wait_process(id, &exec)).await.unwrap().unwrap(), 137);
    assert_eq!(timeout(LATE, agent.wait_process(id, &rig.exec)).await.unwrap().unwrap(), 137);

    agent.remove_container(id, None).await.unwrap();
    assert_eq!(agent.remove_container(id, None).await.unwrap_err().kind(), AgentErrorKind::NotFound);
    assert_eq!(agent.wait_process(id, &exec).await.unwrap_err().kind(), AgentErrorKind::NotFound);
    assert!(rig.mock.containers().is_empty());
}

#[tokio::test]
async fn a_wait_ends_when_the_process_is_ended_or_taken_away() {
    for remove in [false, true] {
        let rig = Rig::new(MockProcess::endless()).await;
        let mut wait = std::pin::pin!(rig.agent.wait_process(&rig.id, &rig.exec));
        timeout(SOON, &mut wait).await.expect_err("it runs");
        let expected = match remove {
            true => rig.agent.remove_container(&rig.id, None).await.map(|()| None).unwrap(),
            false => rig.mock.end(&rig.id, &rig.exec, 4).then_some(4),
        };
        assert_eq!(timeout(LATE, wait).await.unwrap().ok(), expected);
    }
}

#[tokio::test]
async fn failures_and_delays_are_as_told() {
    let mock = MockAgent::new();
    mock.fail(Method::Check, 2, MockFailure::Rpc(RpcCode::Internal, "no".into()));
    mock.delay(Method::Info, LATE * 10);
    assert_eq!(mock.check().await.unwrap_err().kind(), AgentErrorKind::Failed);
    assert_eq!(mock.check().await.unwrap_err().kind(), AgentErrorKind::Failed);
    mock.check().await.unwrap();
    timeout(SOON, mock.info()).await.expect_err("it is delayed");
    let methods: Vec<_> = mock.calls().into_iter().map(|call| call.method).collect();
    assert_eq!(methods, [Method::Check, Method::Check, Method::Check, Method::Info]);
}
