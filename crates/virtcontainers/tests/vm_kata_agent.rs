//! The library drives another implementation of the agent: Kata's own, by the protocol that both speak.
//!
//! These tests need the program of a kata-agent (4.x, linked statically) in `VC_KATA_AGENT`; `scripts/test` looks for one and says
//! how many tests it left out when there is none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

#[path = "guest/foreign.rs"]
mod foreign;
mod guest;

use std::{path::PathBuf, time::Duration};

use guest::{Stage, output};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use virtcontainers::{
    Cmd, Container, ContainerId, ContainerResources, DeleteMode, EnvVar, KernelParam, KillScope, Runtime,
    Sandbox, SandboxConfig, SharedFs, Signal, StopMode, TerminalSize, Transport,
};

/// A sandbox whose guest runs the kata-agent, in which container `first` sleeps.
async fn run(
    stage: &Stage,
    runtime: &Runtime,
    change: impl FnOnce(&mut SandboxConfig),
) -> (Sandbox, Container, tempfile::TempDir) {
    let agent = std::env::var_os("VC_KATA_AGENT").map(PathBuf::from);
    let agent = agent.unwrap_or_else(|| panic!("VC_KATA_AGENT names no kata-agent"));
    let image = tempfile::tempdir().unwrap();
    let initrd = image.path().join("initrd.img");
    foreign::initrd(&guest::guest_dir(), &agent, &initrd);
    let mut config = stage.config("kata");
    config.hypervisor_config.initrd_path = Some(initrd);
    config.hypervisor_config.memory_size = virtcontainers::MiB(1024);
    config.hypervisor_config.transport = Transport::HybridVsock;
    config.hypervisor_config.kernel_params.push(KernelParam::new("cgroup_no_v1", "all"));
    config.agent_config.announces = false;
    config.containers = vec![stage.shell("first", "echo started; sleep 1000 & sleep 1000; exit 3")];
    change(&mut config);
    let sandbox = runtime.run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
    let container = sandbox.container(&ContainerId::new("first").unwrap());
    (sandbox, container, image)
}

async fn exec(container: &Container, args: &[&str]) -> (String, i32) {
    output(&container.exec(Cmd::new(args.iter().copied())).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kata-agent"]
async fn vm_kata_agent_runs_processes_and_tells_their_ends() {
    let stage = Stage::new().await;
    let (sandbox, container, _image) = run(&stage, &stage.runtime(), |_| {}).await;

    let details = sandbox.guest_details().await.unwrap();
    assert!(
        details.init_daemon && details.storage_handlers.iter().any(|it| it == "virtio-fs"),
        "{details:?}"
    );
    assert!(details.storage_handlers.iter().all(|it| it != "9p"), "it is not our agent: {details:?}");

    let cmd = Cmd {
        envs: vec![EnvVar { var: "GREETING".into(), value: "a b\tc".into() }],
        work_dir: "/srv".into(),
        ..Cmd::new(["/bin/sh", "-c", "echo \"$GREETING\"; pwd; echo err >&2; exit 42"])
    };
    assert_eq!(output(&container.exec(cmd).await.unwrap()).await, ("a b\tc\n/srv\nerr\n".to_owned(), 42));

    let echo = Cmd { stdin: true, ..Cmd::new(["/bin/sh", "-c", "cat; exit 5"]) };
    let echo = container.exec(echo).await.unwrap();
    let mut stdin = echo.stdin();
    stdin.write_all(b"to the guest and back\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    assert_eq!(output(&echo).await, ("to the guest and back\n".to_owned(), 5));

    let size = TerminalSize { rows: 33, columns: 111 };
    // It learns of its terminal's size when it runs already, so it is asked once it has been told to go on.
    let script = ["/bin/sh", "-c", "read line; stty size"];
    let cmd = Cmd { interactive: true, stdin: true, terminal_size: Some(size), ..Cmd::new(script) };
    let terminal = container.exec(cmd).await.unwrap();
    terminal.stdin().write_all(b"go\r").await.unwrap();
    // All of it is on standard output: this agent hands a reader of standard error a part of that.
    let mut text = String::new();
    terminal.stdout().read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), terminal.wait().await.unwrap()), ("go\r\n33 111\r\n", 0));

    let long = container.exec(Cmd::new(["seq", "1", "50000"])).await.unwrap();
    let expected: String = (1..=50_000).map(|line| format!("{line}\n")).collect();
    assert_eq!(output(&long).await, (expected, 0));

    let killed = container.exec(Cmd::new(["sleep", "1000"])).await.unwrap();
    killed.signal(Signal::TERM).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), killed.wait()).await.unwrap().unwrap(), 143);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kata-agent"]
async fn vm_kata_agent_controls_containers() {
    let stage = Stage::new().await;
    let (sandbox, container, _image) = run(&stage, &stage.runtime(), |_| {}).await;
    container.update(ContainerResources { vcpus: 1, mem_byte: 24 << 20 }).await.unwrap();
    let stats = container.stats().await.unwrap().cgroup_stats;
    assert!(stats.memory_stats.usage.usage > 4096, "{stats:?}");
    assert_eq!(stats.memory_stats.usage.limit, 24 << 20);
    container.pause().await.unwrap();
    container.resume().await.unwrap();
    assert_eq!(exec(&container, &["true"]).await.1, 0);

    let second = sandbox.create_container(stage.shell("second", "echo second; exit 9")).await.unwrap();
    second.start().await.unwrap();
    assert_eq!(output(&second.process().await.unwrap()).await, ("second\n".to_owned(), 9));
    second.delete(DeleteMode::IfStopped).await.unwrap();

    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), container.wait()).await.unwrap().unwrap(), 137);
    sandbox.stop(StopMode::Graceful).await.unwrap();
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kata-agent"]
async fn vm_kata_agent_shares_files_over_9p() {
    let stage = Stage::new().await;
    let (sandbox, container, _image) =
        run(&stage, &stage.runtime(), |config| config.hypervisor_config.shared_fs = SharedFs::Virtio9p).await;
    assert_eq!(
        exec(&container, &["/bin/sh", "-c", "echo written > /data/file; cat /data/file"]).await.0,
        "written\n"
    );
    assert_eq!(std::fs::read(stage.rootfs.path().join("data/file")).unwrap(), b"written\n");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}
