//! Shims of a container's processes: the shim is a process of its own that reaches the mock agent over a socket.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use virtcontainers::{
    Cmd, Container, ContainerState, DeleteMode, ErrorKind, LogOptions, Logs, Runtime, Sandbox, SandboxConfig,
    SandboxState, ShimKind, StopMode,
    agent::{
        mock::{Method, MockAgent, MockFailure, MockProcess, MockServer},
        shim::run_inherited,
    },
    store::{FaultKind, FaultPlan},
};
use virtcontainers_sys::unix;
use virtcontainers_testkit::kill;

use crate::stage::{Stage, cid, eid, sid};

const LATE: Duration = Duration::from_secs(60);

/// Where the script puts the standard output that the test's harness is not to write to.
const ASIDE: i32 = 5;

/// The shim's program is this one, by way of a script.
#[test]
#[ignore = "the program of the shims of this module"]
#[expect(clippy::exit, reason = "a shim's exit code is its process's")]
fn program() {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let control = pidfd_getfd(this, ASIDE, PidfdGetfdFlags::empty()).unwrap();
    rustix::stdio::dup2_stdout(control).unwrap();
    std::process::exit(run_inherited().map_or(255, i32::from));
}

/// A sandbox whose containers have shims, and its agent on the socket where they look for it.
struct Play {
    stage: Stage,
    _server: Option<MockServer>,
}

impl Play {
    fn new() -> Self {
        Self { stage: Stage::new(), _server: None }
    }

    fn config(&self) -> SandboxConfig {
        let program = self.stage.rootfs.path().join("helper");
        let this = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nexec {} --exact shim::program --ignored --nocapture {ASIDE}>&1 1>/dev/null\n",
            this.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = self.stage.config("web", &["c"]);
        config.shim_type = ShimKind::Kata;
        config.shim_config.path = Some(program);
        config
    }

    async fn create(&mut self, runtime: &Runtime) -> Sandbox {
        let sandbox = runtime.create_sandbox(self.config()).await.unwrap();
        let listener = unix::bind_in(&self.stage.dir("web"), "agent.sock").unwrap();
        self._server = Some(self.stage.agent.serve(listener).await.unwrap());
        sandbox
    }

    async fn run(&mut self) -> Container {
        let sandbox = self.create(&self.stage.runtime()).await;
        sandbox.start().await.unwrap();
        sandbox.container(&cid("c"))
    }

    fn agent(&self) -> &MockAgent {
        &self.stage.agent
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stage.dir("web").join("containers/c").join(name)
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LATE, work).await.unwrap()
}

async fn texts(mut logs: Logs) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(line) = soon(logs.next()).await.unwrap() {
        texts.push(String::from_utf8(line.text).unwrap());
    }
    texts
}

#[tokio::test]
async fn a_command_that_ends_unattended_is_seen_to_have_ended() {
    let mut play = Play::new();
    let words = MockProcess { stdout: b"one\ntwo\n".to_vec(), ..MockProcess::endless() };
    play.agent().script(&eid("c"), words);
    let container = play.run().await;
    let status = container.status().await.unwrap();
    assert_eq!(status.state, ContainerState::Running);
    assert!(status.pid.is_some() && status.pid == container.process().await.unwrap().pid());
    let logs = container.logs(LogOptions { follow: true, ..LogOptions::default() }).await.unwrap();
    assert!(play.agent().end(&cid("c"), &eid("c"), 5));
    assert_eq!(texts(logs).await, ["one", "two"], "and then the log is at its end");

    let status = container.status().await.unwrap();
    assert_eq!((status.state, status.exit_code, status.pid), (ContainerState::Stopped, Some(5), None));
    assert!(status.ended.unwrap() >= status.started.unwrap());
    assert_eq!(container.wait().await.unwrap(), 5);
    assert_eq!(play.stage.runtime().wait_container(&sid("web"), &cid("c")).await.unwrap(), 5);
    let last = container.logs(LogOptions { tail: Some(1), ..LogOptions::default() }).await.unwrap();
    assert_eq!(texts(last).await, ["two"]);
    let since = LogOptions {
        since: status.ended.map(|at| virtcontainers::Timestamp(at.0 + 1)),
        ..LogOptions::default()
    };
    assert_eq!(texts(container.logs(since).await.unwrap()).await, [""; 0]);
    assert_eq!(container.exec(Cmd::new(["true"])).await.unwrap_err().kind(), ErrorKind::WrongState);
    container.delete(DeleteMode::IfStopped).await.unwrap();
    assert!(!play.file("").exists(), "what the shim left went with the container");
    container.sandbox().delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_with_the_shim() {
    let mut play = Play::new();
    let container = play.run().await;
    let (code, ()) = soon(async {
        tokio::join!(container.wait(), async {
            play.agent().end(&cid("c"), &eid("c"), 9).then_some(()).unwrap();
        })
    })
    .await;
    assert_eq!(code.unwrap(), 9);
    container.sandbox().delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn without_its_shim_a_process_runs_on_and_can_be_given_another() {
    let mut play = Play::new();
    play.agent().script(&eid("c"), MockProcess::cat());
    let mut config = play.config();
    config.containers[0].cmd.stdin = true;
    let runtime = play.stage.runtime();
    let sandbox = runtime.create_sandbox(config).await.unwrap();
    let listener = unix::bind_in(&play.stage.dir("web"), "agent.sock").unwrap();
    play._server = Some(play.stage.agent.serve(listener).await.unwrap());
    sandbox.start().await.unwrap();
    let container = sandbox.container(&cid("c"));
    let process = container.process().await.unwrap();
    let pid = process.pid().unwrap();
    let attached = container.attach().await.unwrap();
    kill(pid).await;
    assert!(soon(attached.control.wait()).await.is_err(), "the connection ends with the shim");
    assert_eq!(container.status().await.unwrap().state, ContainerState::Running);

    process.hand_over().await.unwrap();
    assert!(process.pid().is_some_and(|now| now != pid));
    let mut attached = container.attach().await.unwrap();
    let mut seen = [0; 3];
    tokio::io::AsyncWriteExt::write_all(&mut attached.stdin, b"hi\n").await.unwrap();
    soon(tokio::io::AsyncReadExt::read_exact(&mut attached.stdout, &mut seen)).await.unwrap();
    assert_eq!(&seen, b"hi\n");

    // And killed once more: then the agent is asked.
    kill(process.pid().unwrap()).await;
    let end = async { play.agent().end(&cid("c"), &eid("c"), 3) };
    let (code, ended) = soon(async { tokio::join!(container.wait(), end) }).await;
    assert!(ended);
    assert_eq!(code.unwrap(), 3);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_detached_process_beside_the_first_one_has_a_shim_of_its_own() {
    let mut play = Play::new();
    let container = play.run().await;
    let words = MockProcess { stderr: b"oh\n".to_vec(), ..MockProcess::output(*b"ah\n", 4) };
    play.agent().script(&eid("job"), words);
    let cmd = Cmd { detach: true, ..Cmd::new(["job"]) };
    let process = container.exec_as(eid("job"), cmd.clone()).await.unwrap();
    assert_eq!(soon(process.wait()).await.unwrap(), 4);
    let options = LogOptions { exec: Some(eid("job")), ..LogOptions::default() };
    let mut lines = texts(container.logs(options).await.unwrap()).await;
    lines.sort();
    assert_eq!(lines, ["ah", "oh"]);
    let again = container.exec_as(eid("job"), cmd).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    // One that is attended to has none.
    let own = container.exec(Cmd::new(["true"])).await.unwrap();
    assert_eq!(own.pid(), None);
    container.sandbox().delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_stop_and_a_delete_leave_no_shim() {
    for force in [false, true] {
        let mut play = Play::new();
        let container = play.run().await;
        let sandbox = container.sandbox();
        if force {
            sandbox.stop(StopMode::Force).await.unwrap();
        } else {
            sandbox.stop(StopMode::Graceful).await.unwrap();
            assert_eq!(container.status().await.unwrap().exit_code, Some(143));
        }
        let status = sandbox.status().await.unwrap();
        assert_eq!((status.state, status.containers[0].pid), (SandboxState::Stopped, None));
        let held = play.stage.root.leaks();
        assert!(
            !held.iter().any(|leak| matches!(leak, virtcontainers_testkit::Leak::Process { .. })),
            "{held:?}"
        );
        sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_shim() {
    let mut play = Play::new();
    let sandbox = play.create(&play.stage.runtime()).await;
    let container = sandbox.container(&cid("c"));
    // The shim does not come up: the agent is not where it looks.
    std::fs::remove_file(play.stage.dir("web").join("agent.sock")).unwrap();
    let error = sandbox.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Agent, "{error}");
    assert_eq!(play.agent().count(Method::StartContainer), 0, "so the command was not started");
    let listener = unix::bind_in(&play.stage.dir("web"), "agent.sock").unwrap();
    play._server = Some(play.stage.agent.serve(listener).await.unwrap());
    // The shim does, and the command does not.
    let refusal = MockFailure::Rpc(virtcontainers::agent::RpcCode::Internal, "no".to_owned());
    play.agent().fail(Method::StartContainer, 1, refusal);
    sandbox.start().await.unwrap_err();
    assert_eq!(container.status().await.unwrap().state, ContainerState::Ready);
    for name in ["c.log", "c.exit", "c.shim", "c.sock"] {
        assert!(!play.file(name).exists(), "{name}");
    }
    sandbox.start().await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_at_any_step_can_be_called_again() {
    let mut point = 0;
    loop {
        let mut play = Play::new();
        play.create(&play.stage.runtime()).await;
        let faults = FaultPlan::at(point, FaultKind::Fail);
        let started = play.stage.runtime_with(faults.clone()).start_sandbox(&sid("web")).await;
        if faults.passed().len() <= point {
            started.unwrap();
        } else {
            started.unwrap_err();
            let runs = faults.passed()[point].step == "save";
            assert_eq!(play.file("c.shim").exists(), runs, "after point {point}");
            play.stage.runtime().start_sandbox(&sid("web")).await.unwrap();
        }
        play.stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
        assert!(play.stage.root.leaks().is_empty(), "after point {point}: {:?}", play.stage.root.leaks());
        if faults.passed().len() <= point {
            break;
        }
        point += 1;
    }
    assert!(point >= 4, "the launch and the letting go, before and after: {point}");
}

#[tokio::test]
async fn without_a_program_there_is_no_start() {
    let stage = Stage::new();
    let mut config = stage.config("web", &["c"]);
    config.shim_type = ShimKind::Kata;
    config.shim_config.path = Some("/nowhere/vc-helper".into());
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains("shim_config.path"), "{error}");
}
