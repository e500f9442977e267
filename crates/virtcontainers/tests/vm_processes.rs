//! Processes in real virtual machines: run, watched and controlled. They need what the tests of `vm_sandbox` need; what is
//! missing fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use guest::{Stage, output};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use virtcontainers::{
    Cmd, Container, ContainerId, ContainerResources, DeleteMode, EnvVar, ErrorKind, EventKind, EventOptions,
    GuestProcess, KillScope, ProcessListFormat, ProcessListOptions, Runtime, Sandbox, SandboxConfig, Signal,
    StopMode, TerminalSize, Transport,
};
use virtcontainers_testkit::kill;

impl Stage {
    fn vsock_config(&self, id: &str) -> SandboxConfig {
        let mut config = self.config(id);
        config.hypervisor_config.transport = Transport::HybridVsock;
        config
    }

    /// A sandbox in which container `c` sleeps.
    async fn run(&self, runtime: &Runtime) -> (Sandbox, Container) {
        let mut config = self.vsock_config("box");
        config.containers = vec![self.shell("c", "sleep 1000 & sleep 1000; exit 3")];
        let sandbox = runtime.run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
        let container = sandbox.container(&ContainerId::new("c").unwrap());
        (sandbox, container)
    }
}

async fn exec(container: &Container, args: &[&str]) -> (String, i32) {
    output(&container.exec(Cmd::new(args.iter().copied())).await.unwrap()).await
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_processes_are_what_was_asked_for() {
    let stage = Stage::new().await;
    let (sandbox, container) = stage.run(&stage.runtime()).await;

    let cmd = Cmd {
        user: "bob".into(),
        envs: vec![EnvVar { var: "GREETING".into(), value: "a b\tc".into() }],
        work_dir: "/srv".into(),
        ..Cmd::new(["/bin/sh", "-c", "id; echo \"$GREETING\"; pwd; echo err >&2; exit 42"])
    };
    let (text, code) = output(&container.exec(cmd).await.unwrap()).await;
    assert_eq!(text, "uid=1000(bob) gid=1000(bob) groups=50(staff)\na b\tc\n/srv\nerr\n");
    assert_eq!(code, 42);

    let size = TerminalSize { rows: 33, columns: 111 };
    let cmd = Cmd {
        interactive: true,
        stdin: true,
        terminal_size: Some(size),
        ..Cmd::new(["/bin/sh", "-c", "stty size; read line; stty size; exit 7"])
    };
    let terminal = container.exec(cmd).await.unwrap();
    let mut lines = BufReader::new(terminal.stdout()).lines();
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap().trim(), "33 111");
    terminal.resize(TerminalSize { rows: 5, columns: 6 }).await.unwrap();
    terminal.stdin().write_all(b"go\r").await.unwrap();
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap().trim(), "go");
    assert_eq!(soon(lines.next_line()).await.unwrap().unwrap().trim(), "5 6");
    assert_eq!(soon(terminal.wait()).await.unwrap(), 7);

    let killed = container.exec(Cmd::new(["sleep", "1000"])).await.unwrap();
    let again = container.process_by_id(killed.id()).await.unwrap();
    again.signal(Signal::TERM).await.unwrap();
    assert_eq!(soon(killed.wait()).await.unwrap(), 143);

    let missing = container.exec(Cmd::new(["/no/such/program"])).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::CommandNotFound, "{missing}");
    let denied = container.exec(Cmd::new(["/etc/passwd"])).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::CommandNotExecutable, "{denied}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_processes_side_by_side_keep_their_output_and_their_end() {
    let stage = Stage::new().await;
    let (sandbox, container) = stage.run(&stage.runtime()).await;
    let one = async |number: usize| {
        let script = format!("seq {number} {}; exit {}", number + 200, number % 100);
        let (text, code) = exec(&container, &["/bin/sh", "-c", &script]).await;
        let expected: String = (number..=number + 200).map(|line| format!("{line}\n")).collect();
        assert_eq!((text, code), (expected, i32::try_from(number % 100).unwrap()));
    };
    join_all((0..20).map(one)).await;
    let table = container.process_table().await.unwrap();
    assert!(table.iter().all(|process| process.state.letter() != 'Z'), "{table:?}");
    assert_eq!(table.len(), 3, "a shell and two sleeps: {table:?}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_processes_are_listed_and_measured() {
    let stage = Stage::new().await;
    let (sandbox, container) = stage.run(&stage.runtime()).await;
    let busy = container.exec(Cmd::new(["/bin/sh", "-c", "while :; do :; done"])).await.unwrap();

    let sleepers = async {
        // The shell may still be on its way to them.
        let sleeps = |process: &GuestProcess| process.args.first().is_some_and(|arg| arg == "sleep");
        while container.process_table().await.unwrap().iter().filter(|process| sleeps(process)).count() != 2 {
        }
    };
    soon(sleepers).await;
    let json = ProcessListOptions { format: ProcessListFormat::Json, args: Vec::new() };
    let listed: Vec<GuestProcess> =
        serde_json::from_slice(container.processes(json).await.unwrap().as_ref()).unwrap();
    let first = listed.iter().find(|process| process.container_pid == 1).unwrap();
    assert_eq!((first.uid, first.args[0].as_str()), (0, "/bin/sh"));
    let aux = ProcessListOptions { args: vec!["aux".into()], ..ProcessListOptions::default() };
    let table = container.processes(aux).await.unwrap().to_string();
    assert!(table.starts_with("USER") && table.contains("while :; do :; done"), "{table}");

    let (host, containers) = sandbox.stats().await.unwrap();
    let (id, before) = &containers[0];
    assert_eq!(id.as_str(), "c");
    let guest = &before.cgroup_stats;
    assert!(guest.memory_stats.usage.usage > 4096 && guest.memory_stats.usage.usage < 512 << 20, "{guest:?}");
    assert!(guest.pids_stats.current >= 4, "{guest:?}");
    assert!(host.cgroup_stats.memory_stats.usage.usage > 32 << 20, "{host:?}");
    assert!(host.cgroup_stats.cpu_stats.cpu_usage.total_usage > 0 && host.cpus == 1, "{host:?}");
    let spun = async {
        // A busy loop is charged, on the host as in the guest.
        loop {
            let now = container.stats().await.unwrap().cgroup_stats.cpu_stats.cpu_usage.total_usage;
            if now > guest.cpu_stats.cpu_usage.total_usage + 50_000_000 {
                break;
            }
        }
    };
    soon(spun).await;
    let later = sandbox.stats().await.unwrap().0.cgroup_stats.cpu_stats.cpu_usage.total_usage;
    assert!(later > host.cgroup_stats.cpu_stats.cpu_usage.total_usage);
    busy.signal(Signal::KILL).await.unwrap();
    assert_eq!(soon(busy.wait()).await.unwrap(), 137);
    assert!(sandbox.guest_details().await.unwrap().agent_version.len() > 2);
    let metrics = sandbox.agent_metrics().await.unwrap();
    assert!(metrics.lines().any(|line| line.starts_with("# TYPE ")), "{metrics}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_limits_change_and_hold() {
    let stage = Stage::new().await;
    let runtime = stage.runtime();
    let mut events = runtime.events(EventOptions { oom: true, existing: false }).unwrap();
    let (sandbox, container) = stage.run(&runtime).await;
    container.update(ContainerResources { vcpus: 1, mem_byte: 24 << 20 }).await.unwrap();
    assert_eq!(exec(&container, &["cat", "/sys/fs/cgroup/memory.max"]).await.0, "25165824\n");
    assert_eq!(exec(&container, &["cat", "/sys/fs/cgroup/cpu.max"]).await.0, "100000 100000\n");
    let stats = container.stats().await.unwrap().cgroup_stats;
    assert_eq!(stats.memory_stats.usage.limit, 24 << 20);

    // tail keeps in memory what has no newline.
    let hog = container.exec(Cmd::new(["/bin/sh", "-c", "tail < /dev/zero"])).await.unwrap();
    let code = soon(hog.wait()).await.unwrap();
    assert_ne!(code, 0, "it cannot get what it asks for");
    let oom = async {
        loop {
            let event = events.next().await.unwrap();
            if event.kind == EventKind::Oom {
                return event.container.unwrap();
            }
        }
    };
    assert_eq!(soon(oom).await.as_str(), "c");
    assert_eq!(exec(&container, &["true"]).await.1, 0, "the rest of it lives");
    drop(events);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_processes_pause_and_end() {
    let stage = Stage::new().await;
    let (sandbox, container) = stage.run(&stage.runtime()).await;
    container.pause().await.unwrap();
    let refused = container.exec(Cmd::new(["true"])).await.unwrap_err();
    assert!(refused.to_string().contains("resume the container first"), "{refused}");
    let first = container.stats().await.unwrap().cgroup_stats.cpu_stats.cpu_usage.total_usage;
    let second = container.stats().await.unwrap().cgroup_stats.cpu_stats.cpu_usage.total_usage;
    assert_eq!(first, second, "nothing of it runs");
    container.resume().await.unwrap();
    assert_eq!(exec(&container, &["true"]).await.1, 0);

    let mut monitor = sandbox.monitor().await.unwrap();
    sandbox.pause().await.unwrap();
    let refused = container.exec(Cmd::new(["true"])).await.unwrap_err();
    assert!(refused.to_string().contains("resume the sandbox first"), "{refused}");
    assert!(
        tokio::time::timeout(Duration::from_secs(3), monitor.recv()).await.is_err(),
        "paused is not dead"
    );
    sandbox.resume().await.unwrap();
    assert_eq!(exec(&container, &["true"]).await.1, 0);

    paused_under_load(&sandbox, &container).await;

    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    assert_eq!(soon(container.wait()).await.unwrap(), 137);
    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    sandbox.stop(StopMode::Graceful).await.unwrap();
    assert!(soon(monitor.recv()).await.is_none(), "stopped on purpose");
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

/// Pauses while a process talks and while the host writes to another: no byte is lost or comes twice.
async fn paused_under_load(sandbox: &Sandbox, container: &Container) {
    const LINES: usize = 40_000;
    let talker = container.exec(Cmd::new(["seq", "1", &LINES.to_string()])).await.unwrap();
    let listen = Cmd { stdin: true, ..Cmd::new(["/bin/sh", "-c", "cat | tail -c 7"]) };
    let listener = container.exec(listen).await.unwrap();
    let pauses = async {
        let mut stdin = listener.stdin();
        for round in 0..3 {
            stdin.write_all(&vec![b'x'; 20_000]).await.unwrap();
            sandbox.pause().await.unwrap();
            // The guest cannot take it; whoever carries it has to keep it.
            let write = async {
                stdin.write_all(&vec![b'y'; 20_000]).await.unwrap();
                stdin.write_all(format!("round {round}").as_bytes()).await.unwrap();
            };
            let ((), resumed) = join(write, sandbox.resume()).await;
            resumed.unwrap();
        }
        stdin.shutdown().await.unwrap();
        output(&listener).await
    };
    let ((said, code), heard) = soon(join(output(&talker), pauses)).await;
    assert_eq!(heard, ("round 2".to_owned(), 0));
    assert_eq!(code, 0);
    assert!(said.lines().eq((1..=LINES).map(|line| line.to_string())), "{} bytes", said.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_guest_has_a_log_and_a_shell_for_its_operator() {
    let stage = Stage::new().await;
    let mut config = stage.vsock_config("box");
    config.agent_config.debug_console = true;
    config.agent_config.debug = true;
    let sandbox =
        stage.runtime().run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
    let mut log = BufReader::new(sandbox.agent_log().await.unwrap()).lines();
    let line = soon(log.next_line()).await.unwrap().unwrap();
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(entry["msg"].is_string() && entry["level"].is_string(), "{line}");

    // A guest image has a shell or says how to get one.
    let mut shell = sandbox.console_shell().await.unwrap();
    shell.write_all(b"echo $((6 * 7))\n").await.unwrap();
    let mut said = Vec::new();
    let answered = async {
        while !String::from_utf8_lossy(&said).contains("\n42") && shell.read_buf(&mut said).await.unwrap() > 0
        {
        }
    };
    soon(answered).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("\n42") || said.contains("virtc guest build --shell"), "{said}");
    drop((log, shell));
    assert!(!sandbox.agent_info().await.unwrap().agent_version.is_empty(), "the agent serves on");
    sandbox.delete(DeleteMode::Force).await.unwrap();

    // It is there for who asked for it, and where there is a way.
    let plain = stage.runtime().run_sandbox(stage.vsock_config("plain")).await.unwrap();
    assert_eq!(plain.console_shell().await.unwrap_err().kind(), ErrorKind::WrongState);
    plain.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_death_is_noticed_within_a_second() {
    let stage = Stage::new().await;
    let (sandbox, _container) = stage.run(&stage.runtime()).await;
    let (mut first, mut second) = (sandbox.monitor().await.unwrap(), sandbox.monitor().await.unwrap());
    // Somebody else's listener, who has no handle.
    let mut events = stage.runtime().events(EventOptions::default()).unwrap();
    let pid = sandbox.status().await.unwrap().vmm_pid.unwrap();
    let killed = Instant::now();
    kill(pid).await;
    for monitor in [&mut first, &mut second] {
        let error = soon(monitor.recv()).await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Hypervisor, "{error}");
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
        assert!(monitor.recv().await.is_none(), "told once");
    }
    let event = soon(events.next()).await.unwrap();
    assert!(matches!(event.kind, EventKind::Stopped { .. }), "{event:?}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}
