//! A process that dies takes nothing along: another takes over the sandbox with all that runs in it. These tests need what
//! those of `vm_sandbox` need.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test tells by panicking")]

mod guest;

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use guest::{Stage, helper, output};
use tokio::io::AsyncWriteExt as _;
use virtcontainers::{
    Cmd, ContainerConfig, ContainerId, ContainerState, DeleteMode, ExecId, GcOptions, LogOptions, MiB,
    ProxyKind, Runtime, SandboxConfig, SandboxId, SandboxState, ShimKind, StopMode, Transport,
};
use virtcontainers_testkit::kill;

const ROOT: &str = "VC_TEST_REATTACH_ROOT";
const ROOTFS: &str = "VC_TEST_REATTACH_ROOTFS";
const SERIAL: &str = "VC_TEST_REATTACH_SERIAL";

fn runtime(root: PathBuf) -> Runtime {
    Runtime::builder().root(root).helper_program(helper()).build().unwrap()
}

fn exec_id(id: &str) -> ExecId {
    ExecId::new(id).unwrap()
}

/// Makes a sandbox with three processes in it, says so, and waits to be killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that dies"]
async fn creator() {
    let (root, rootfs) = (std::env::var(ROOT).unwrap(), std::env::var(ROOTFS).unwrap());
    let mut config = SandboxConfig { id: "web".into(), ..SandboxConfig::default() };
    config.hypervisor_config.kernel_path = guest::guest_dir().join("vmlinux");
    config.hypervisor_config.initrd_path = Some(guest::guest_dir().join("initrd.img"));
    config.hypervisor_config.memory_size = MiB(256);
    config.hypervisor_config.transport = Transport::HybridVsock;
    if std::env::var_os(SERIAL).is_some() {
        config.hypervisor_config.transport = Transport::VirtioSerial;
        config.proxy_type = ProxyKind::Kata;
    }
    config.containers = vec![ContainerConfig::new("a", rootfs, ["/bin/sh", "-c", "sleep 1000"])];
    let sandbox = runtime(root.into()).run_sandbox(config).await.unwrap();
    let a = sandbox.container(&ContainerId::new("a").unwrap());
    let job = Cmd { stdin: true, ..Cmd::new(["sh", "-c", "read line; echo \"got $line\"; exit 9"]) };
    a.exec_as(exec_id("job"), job).await.unwrap();
    let said = Cmd {
        detach: true,
        shim: Some(ShimKind::Kata),
        ..Cmd::new(["sh", "-c", "echo begun; sleep 2; echo ended; exit 11"])
    };
    a.exec_as(exec_id("logged"), said.clone()).await.unwrap();
    a.exec_as(exec_id("bereft"), said).await.unwrap();
    println!("\nready");
    std::future::pending().await
}

/// Kills the creator when all is there; then everything goes on with another process.
async fn taken_over(serial: bool) {
    let stage = Stage::new().await;
    let mut creator = Command::new(std::env::current_exe().unwrap());
    creator.args(["--exact", "creator", "--ignored", "--nocapture"]);
    creator.env(ROOT, stage.root.path()).env(ROOTFS, stage.rootfs.path()).stdout(Stdio::piped());
    if serial {
        creator.env(SERIAL, "1");
    }
    let mut creator = creator.spawn().unwrap();
    let lines = BufReader::new(creator.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"), "the creator failed");
    creator.kill().unwrap();
    creator.wait().unwrap();

    let runtime = runtime(stage.root.path().to_owned());
    assert_eq!(runtime.gc(GcOptions::default()).await.unwrap().items, [], "it all lives");
    let sandbox = runtime.fetch_sandbox(&SandboxId::new("web").unwrap()).await.unwrap();
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Running);
    let a = sandbox.container(&ContainerId::new("a").unwrap());
    if serial {
        let status = sandbox.status().await.unwrap();
        let proxy = status.processes.iter().find(|helper| helper.role == "proxy").unwrap().pid;
        kill(proxy).await;
    }

    // A process whose streams the dead one had.
    let job = a.process_by_id(&exec_id("job")).await.unwrap();
    let mut stdin = job.stdin();
    stdin.write_all(b"this\n").await.unwrap();
    assert_eq!(output(&job).await, ("got this\n".to_owned(), 9));
    // One whose shim is killed: it goes on, and its exit code is still to be had.
    let bereft = a.process_by_id(&exec_id("bereft")).await.unwrap();
    let shim = bereft.pid().unwrap();
    kill(shim).await;
    let code = tokio::time::timeout(Duration::from_secs(60), bereft.wait()).await.unwrap();
    assert_eq!(code.unwrap(), 11);
    // One whose shim lives: it is all in its log.
    let logged = a.process_by_id(&exec_id("logged")).await.unwrap();
    if !serial {
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), logged.wait()).await.unwrap().unwrap(), 11);
        let options = LogOptions { exec: Some(exec_id("logged")), ..LogOptions::default() };
        let mut logs = a.logs(options).await.unwrap();
        let mut text = Vec::new();
        while let Some(line) = logs.next().await.unwrap() {
            text.push(String::from_utf8(line.text).unwrap());
        }
        assert_eq!(text, ["begun", "ended"]);
    }
    assert_eq!(output(&a.exec(Cmd::new(["echo", "still here"])).await.unwrap()).await.0, "still here\n");
    a.stop(StopMode::Force).await.unwrap();
    assert_eq!(a.status().await.unwrap().state, ContainerState::Stopped);
    sandbox.stop(StopMode::Graceful).await.unwrap();
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_sandbox_is_taken_over_with_its_processes() {
    taken_over(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_sandbox_is_taken_over_and_its_proxy_put_back() {
    taken_over(true).await;
}

/// Six machines are made, used and deleted at once, each by a runtime of its own; meanwhile a reader waits for none.
#[tokio::test(flavor = "multi_thread")]
async fn vm_six_sandboxes_side_by_side() {
    let stage = Stage::new().await;
    let root = stage.root.path().to_owned();
    let one = async |number: usize| {
        let mut config = stage.config(&format!("s{number}"));
        config.hypervisor_config.memory_size = MiB(256);
        config.hypervisor_config.transport = Transport::HybridVsock;
        config.containers = vec![stage.shell("a", "sleep 1000")];
        let sandbox = runtime(root.clone()).run_sandbox(config).await;
        let sandbox = sandbox.unwrap_or_else(|error| panic!("{}", error.report()));
        let a = sandbox.container(&ContainerId::new("a").unwrap());
        let said = output(&a.exec(Cmd::new(["echo", "mine"])).await.unwrap()).await.0;
        assert_eq!(said, "mine\n");
        sandbox.delete(DeleteMode::Force).await.unwrap();
    };
    let all = futures::future::join_all((0..6).map(one));
    let reader = runtime(root.clone());
    let mut slowest = Duration::ZERO;
    let reading = async {
        loop {
            let begin = std::time::Instant::now();
            for (name, status) in reader.list_sandboxes().await.unwrap() {
                assert!(status.is_ok(), "{name}: {status:?}");
            }
            slowest = slowest.max(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = all => {}
        () = reading => {}
    }
    println!("the slowest list took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(stage.root.leaks(), []);
}
