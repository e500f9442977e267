//! Shims against the mock agent: logs, those who attach, ends, a connection that breaks; and the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    os::unix::net::UnixListener,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use virtcontainers_agent_client::{
    Agent, ContainerSpec, OutputStream, TerminalSize,
    mock::{Method, MockAgent, MockFailure, MockProcess, MockServer},
    shim::{
        Attached, Attend, ExitRecord, LogLine, ShimError, ShimOptions, ShimProcess, attach, log_name, parse,
    },
};
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_sys::{
    process::{Mark, Signal},
    unix,
};
use virtcontainers_types::{ContainerId, ExecId, SandboxId};

const LATE: Duration = Duration::from_secs(60);
const TERM: u32 = 15;

/// A directory with a container's process in a mock agent.
struct Stage {
    dir: TempDir,
    agent: MockAgent,
}

impl Stage {
    async fn new(process: MockProcess) -> Self {
        let agent = MockAgent::new();
        agent.script_all(process);
        let stage = Self { dir: TempDir::new().unwrap(), agent };
        let spec = ContainerSpec {
            id: id(),
            spec: oci_spec::runtime::Spec::default(),
            storages: Vec::new(),
            stdin: true,
            shared_pid_namespace: false,
        };
        stage.agent.create_container(spec).await.unwrap();
        stage
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn options(&self) -> ShimOptions {
        ShimOptions {
            agent: AgentAddress::Unix { dir: self.path().to_owned(), name: "agent.sock".to_owned() },
            container: id(),
            exec: exec(),
            dir: self.path().to_owned(),
            sandbox_dir: self.path().to_owned(),
            vmm: None,
            console: None,
            outputs_first: false,
            log_limit: 1 << 20,
        }
    }

    fn listener(&self) -> UnixListener {
        unix::bind_in(self.path(), "c.sock").unwrap()
    }

    async fn attend(&self) -> Attend {
        self.attend_with(self.options()).await
    }

    async fn attend_with(&self, options: ShimOptions) -> Attend {
        Attend::new(options, Arc::new(self.agent.clone()), self.listener()).await.unwrap()
    }

    async fn start(&self) {
        self.agent.start_container(&id()).await.unwrap();
    }

    fn join(&self) -> Attached {
        attach(self.path(), &id(), &exec()).unwrap()
    }

    fn lines(&self, name: &str) -> Vec<LogLine> {
        let log = std::fs::read(self.path().join(name)).unwrap();
        log.split_inclusive(|&byte| byte == b'\n')
            .map(|line| parse(line.strip_suffix(b"\n").unwrap()))
            .collect()
    }

    /// What an output wrote, put together from the log.
    fn written(&self, stream: OutputStream) -> Vec<u8> {
        let mut written = Vec::new();
        for line in self.lines(&log_name(&exec())).into_iter().filter(|line| line.stream == Some(stream)) {
            written.extend(line.text);
            if !line.partial {
                written.push(b'\n');
            }
        }
        written
    }

    fn exit(&self) -> Option<ExitRecord> {
        ExitRecord::read(self.path(), &exec()).unwrap()
    }

    /// The agent on the socket that the options name.
    async fn serve(&self) -> MockServer {
        self.agent.serve(unix::bind_in(self.path(), "agent.sock").unwrap()).await.unwrap()
    }

    async fn launch(&self) -> Result<ShimProcess, ShimError> {
        let mark = Mark::new(self.path(), &SandboxId::new("s").unwrap(), "shim");
        ShimProcess::launch(Path::new(env!("CARGO_BIN_EXE_vc-helper")), &self.options(), &mark).await
    }

    async fn until(&self, method: Method, count: usize) {
        let seen = async {
            while self.agent.count(method) < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(LATE, seen).await.unwrap();
    }
}

fn id() -> ContainerId {
    ContainerId::new("c").unwrap()
}

fn exec() -> ExecId {
    ExecId::new("c").unwrap()
}

/// Bytes of all kinds, with lines of all lengths, the last one without its end.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).chain(*b"end").collect()
}

#[tokio::test]
async fn all_that_a_process_writes_is_in_its_log_with_its_end_beside_it() {
    let out = pattern(300 << 10);
    let process =
        MockProcess { stdout: out.clone(), stderr: b"oh\n".to_vec(), code: 7, ..MockProcess::default() };
    let stage = Stage::new(process).await;
    let attend = stage.attend().await;
    assert_eq!(stage.exit(), None);
    let before = SystemTime::now();
    let (code, ()) = timeout(LATE, async { tokio::join!(attend.run(), stage.start()) }).await.unwrap();
    assert_eq!(code.unwrap(), 7);
    assert!(stage.written(OutputStream::Stdout) == out, "300 KiB of any bytes come out as they went in");
    assert_eq!(stage.written(OutputStream::Stderr), b"oh\n");
    assert!(stage.lines("c.log").iter().all(|line| line.time.unwrap() >= before));
    let exit = stage.exit().unwrap();
    assert_eq!(exit.code, 7);
    assert!(exit.ended >= before.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64);
}

#[tokio::test]
async fn a_log_at_its_limit_is_turned_and_loses_no_line_of_the_last() {
    let lines: Vec<String> = (0..60_000).map(|n| format!("line number {n}\n")).collect();
    let stage = Stage::new(MockProcess { stdout: lines.concat().into(), ..MockProcess::default() }).await;
    let limit = 512 << 10;
    let attend = stage.attend_with(ShimOptions { log_limit: limit, ..stage.options() }).await;
    tokio::join!(attend.run(), stage.start()).0.unwrap();
    for name in ["c.log", "c.log.1"] {
        let size = std::fs::metadata(stage.path().join(name)).unwrap().len();
        assert!(size > 0 && size <= limit, "{name}: {size}");
    }
    let mut kept = stage.lines("c.log.1");
    kept.extend(stage.lines("c.log"));
    let texts: Vec<_> =
        kept.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned() + "\n").collect();
    assert!(texts.len() > 8_000 && lines.ends_with(&texts), "the end, without a gap: {} lines", texts.len());
}

#[tokio::test]
async fn two_clients_see_the_same_and_write_to_one_process() {
    let stage = Stage::new(MockProcess::cat()).await;
    let attend = stage.attend().await;
    stage.start().await;
    let play = async {
        let (mut one, mut two) = (stage.join(), stage.join());
        let mut seen = [0; 6];
        one.stdin.write_all(b"hello\n").await.unwrap();
        one.stdout.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"hello\n");
        two.stdin.write_all(b"world\n").await.unwrap();
        one.stdout.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"world\n");
        one.control.resize(TerminalSize { rows: 24, columns: 80 }).await.unwrap();
        stage.until(Method::ResizeTerminal, 1).await;
        two.stdin.shutdown().await.unwrap();
        let codes = tokio::join!(one.control.wait(), two.control.wait());
        assert_eq!((codes.0.unwrap(), codes.1.unwrap()), (0, 0));
    };
    let (code, ()) = timeout(LATE, async { tokio::join!(attend.run(), play) }).await.unwrap();
    assert_eq!(code.unwrap(), 0);
    assert!(matches!(attach(stage.path(), &id(), &exec()), Err(ShimError::NoShim { .. })));
}

#[tokio::test]
async fn a_client_signals_the_process() {
    let stage = Stage::new(MockProcess::endless()).await;
    let attend = stage.attend().await;
    stage.start().await;
    let play = async {
        let client = stage.join();
        client.control.signal(TERM).await.unwrap();
        assert_eq!(client.control.wait().await.unwrap(), 143);
    };
    assert_eq!(tokio::join!(attend.run(), play).0.unwrap(), 143);
}

#[tokio::test]
async fn a_slow_client_is_let_go_and_holds_up_nobody() {
    let stage = Stage::new(MockProcess::cat()).await;
    let attend = stage.attend().await;
    stage.start().await;
    let play = async {
        let slow = stage.join();
        let Attached { mut stdin, mut stdout, control, .. } = stage.join();
        let piece = vec![b'x'; 64 << 10];
        let mut back = vec![0; piece.len()];
        for _ in 0..64 {
            stdin.write_all(&piece).await.unwrap();
            stdout.read_exact(&mut back).await.unwrap();
            assert!(back == piece);
        }
        stdin.shutdown().await.unwrap();
        assert_eq!(control.wait().await.unwrap(), 0);
        // It has read nothing, so what it gets is what had room, and then an end without a code.
        let Attached { mut stdout, control, .. } = slow;
        let mut got = Vec::new();
        stdout.read_to_end(&mut got).await.unwrap();
        assert!(got.len() < 64 * piece.len(), "{} bytes", got.len());
        assert!(matches!(control.wait().await, Err(ShimError::Detached { .. })));
    };
    let (code, ()) = timeout(LATE, async { tokio::join!(attend.run(), play) }).await.unwrap();
    assert_eq!(code.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_talks_nonsense_is_let_go() {
    let stage = Stage::new(MockProcess::endless()).await;
    let attend = stage.attend().await;
    stage.start().await;
    let play = async {
        for nonsense in [&[9, 0, 0, 0, 0][..], &[0, 0xff, 0xff, 0xff, 0xff], &[2, 1, 0, 0, 0, 0]] {
            let stream = unix::connect_in(stage.path(), "c.sock").unwrap();
            let mut stream = tokio::net::UnixStream::from_std(stream).unwrap();
            stream.write_all(nonsense).await.unwrap();
            let end = timeout(LATE, stream.read(&mut [0])).await.unwrap();
            assert!(matches!(end, Ok(0) | Err(_)), "{nonsense:?}: {end:?}");
        }
        stage.join().control.signal(9).await.unwrap();
    };
    assert_eq!(tokio::join!(attend.run(), play).0.unwrap(), 137);
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew_and_nothing_is_missed() {
    let stage = Stage::new(MockProcess::cat()).await;
    let attend = stage.attend().await;
    for method in [Method::ReadStdout, Method::ReadStderr, Method::WaitProcess, Method::Connect] {
        stage.agent.fail(method, 1, MockFailure::Disconnected);
    }
    stage.start().await;
    let play = async {
        let mut client = stage.join();
        client.stdin.write_all(b"still here\n").await.unwrap();
        let mut seen = [0; 11];
        client.stdout.read_exact(&mut seen).await.unwrap();
        client.stdin.shutdown().await.unwrap();
        assert_eq!(client.control.wait().await.unwrap(), 0);
    };
    let (code, ()) = timeout(LATE, async { tokio::join!(attend.run(), play) }).await.unwrap();
    assert_eq!(code.unwrap(), 0);
    assert!(stage.agent.count(Method::Connect) >= 3, "the first, one that failed, one that did not");
    assert_eq!(stage.written(OutputStream::Stdout), b"still here\n");
}

#[tokio::test]
async fn a_process_that_the_agent_does_not_know_has_no_end() {
    let stage = Stage::new(MockProcess::endless()).await;
    let options = ShimOptions { exec: ExecId::new("other").unwrap(), ..stage.options() };
    let attend = stage.attend_with(options).await;
    let error = timeout(LATE, attend.run()).await.unwrap().unwrap_err();
    assert!(matches!(error, ShimError::Agent(_)), "{error}");
    assert_eq!(stage.exit(), None);
}

#[tokio::test]
async fn the_program_forwards_signals_and_exits_with_the_code() {
    let stage = Stage::new(MockProcess { stdout: b"up\n".to_vec(), ..MockProcess::endless() }).await;
    let _server = stage.serve().await;
    let mut shim = timeout(LATE, stage.launch()).await.unwrap().unwrap();
    assert_eq!(stage.agent.count(Method::ReadStdout), 0, "it waits to be let go");
    shim.go().await.unwrap();
    stage.start().await;
    let mut client = stage.join();
    stage.until(Method::WaitProcess, 1).await;
    assert!(shim.process().kill(Signal::TERM).unwrap());
    assert_eq!(client.control.wait().await.unwrap(), 143);
    client.stdin.shutdown().await.ok(); // it has nobody left to close for
    let status = timeout(LATE, shim.ended()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(143));
    assert_eq!(stage.exit().unwrap().code, 143);
    assert_eq!(stage.written(OutputStream::Stdout), b"up\n");
}

#[tokio::test]
async fn a_program_that_nobody_lets_go_ends_without_a_trace() {
    let stage = Stage::new(MockProcess::endless()).await;
    let _server = stage.serve().await;
    let shim = timeout(LATE, stage.launch()).await.unwrap().unwrap();
    let pidfd = shim.process().open().unwrap().unwrap();
    drop(shim);
    timeout(LATE, pidfd.exited()).await.unwrap().unwrap();
    assert_eq!(stage.agent.count(Method::ReadStdout) + stage.agent.count(Method::WaitProcess), 0);
    assert_eq!(stage.exit(), None);
}

#[tokio::test]
async fn a_program_that_cannot_serve_says_why() {
    let stage = Stage::new(MockProcess::endless()).await;
    let error = timeout(LATE, stage.launch()).await.unwrap().unwrap_err();
    let ShimError::NotReady { why, .. } = &error else { panic!("{error}") };
    assert!(why.contains("agent.sock"), "nobody listens there: {why}");
}

#[tokio::test]
async fn the_program_ends_with_the_machine() {
    let stage = Stage::new(MockProcess::endless()).await;
    let _server = stage.serve().await;
    let mut machine = tokio::process::Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    let vmm = virtcontainers_sys::process::ProcessRef::of(machine.id().unwrap()).unwrap();
    let mark = Mark::new(stage.path(), &SandboxId::new("s").unwrap(), "shim");
    let program = Path::new(env!("CARGO_BIN_EXE_vc-helper"));
    let options = ShimOptions { vmm: Some(vmm), ..stage.options() };
    let mut shim = ShimProcess::launch(program, &options, &mark).await.unwrap();
    shim.go().await.unwrap();
    stage.start().await;
    stage.until(Method::WaitProcess, 1).await;
    machine.kill().await.unwrap();
    let status = timeout(LATE, shim.ended()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(255));
    assert_eq!(stage.exit(), None);
}
