//! Many processes on one root: ids go to one of those who want them, sandboxes are made and deleted side by side.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use virtcontainers::{
    ContainerConfig, DeleteMode, Durability, ErrorKind, HypervisorKind, Runtime, SandboxConfig, SandboxState,
    agent::mock::{MockAgent, MockProcess},
    hypervisor::mock::{MockHypervisor, Step},
};

use crate::stage::{Stage, sid};

const ROOT: &str = "VC_TEST_CROWD_ROOT";
const ROOTFS: &str = "VC_TEST_CROWD_ROOTFS";
const WORK: &str = "VC_TEST_CROWD_WORK";

fn spawn(stage: &Stage, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crowd::child", "--ignored", "--nocapture"])
        .env(ROOT, stage.root.path())
        .env(ROOTFS, stage.rootfs.path())
        .env(WORK, work)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a child says of itself, each line as often as it says it.
fn said(children: Vec<Child>) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            if let Some(word) = line.strip_prefix("says ") {
                *said.entry(word.to_owned()).or_default() += 1;
            }
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "one of the processes of this module"]
async fn child() {
    let work = std::env::var(WORK).unwrap();
    match work.split_once(' ').unwrap() {
        ("claim", id) => match create(id).await {
            Ok(()) => println!("\nsays created"),
            Err(ErrorKind::AlreadyExists) => println!("\nsays taken"),
            Err(other) => panic!("{other:?}"),
        },
        ("crowd", seed) => crowd(seed.parse().unwrap()).await,
        (other, _) => panic!("{other}"),
    }
}

/// A runtime with a guest of its own.
fn runtime() -> Runtime {
    let agent = MockAgent::new();
    agent.script_all(MockProcess::endless());
    Runtime::builder()
        .root(std::env::var(ROOT).unwrap())
        .durability(Durability::NoSync)
        .hypervisor(Arc::new(MockHypervisor::builder().delay(Step::Boot, Duration::from_millis(2)).build()))
        .connector(Arc::new(agent))
        .build()
        .unwrap()
}

async fn create(id: &str) -> Result<(), ErrorKind> {
    let config = SandboxConfig {
        id: id.into(),
        hypervisor_type: HypervisorKind::Mock,
        containers: vec![ContainerConfig::new("a", std::env::var(ROOTFS).unwrap(), ["/bin/sh"])],
        ..SandboxConfig::default()
    };
    runtime().run_sandbox(config).await.map(drop).map_err(|error| error.kind())
}

/// All fifty sandboxes, in an order of this process's own; whoever comes second deletes.
async fn crowd(mut seed: u64) {
    for round in 0..50u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = format!("s{}", (seed >> 33).wrapping_add(round) % 50);
        let told = match create(&id).await {
            Ok(()) => "created",
            Err(ErrorKind::AlreadyExists) => {
                match runtime().delete_sandbox(&sid(&id), DeleteMode::Force).await {
                    Ok(()) => "deleted",
                    Err(error) if error.kind() == ErrorKind::NotFound => "late",
                    Err(error) if error.kind() == ErrorKind::Busy => "busy",
                    Err(error) => panic!("delete of {id}: {}", error.report()),
                }
            }
            // Another has deleted it between its create and its start.
            Err(ErrorKind::NotFound | ErrorKind::WrongState) => "lost",
            Err(other) => panic!("create of {id}: {other:?}"),
        };
        println!("\nsays {told}");
    }
}

#[tokio::test]
async fn one_of_two_processes_creates_a_sandbox_and_it_is_intact() {
    for round in 0..8 {
        let stage = Stage::new();
        let said = said(vec![spawn(&stage, "claim web"), spawn(&stage, "claim web")]);
        assert_eq!((said.get("created"), said.get("taken")), (Some(&1), Some(&1)), "round {round}: {said:?}");
        let status = stage.runtime().sandbox_status(&sid("web")).await.unwrap();
        assert_eq!((status.state, status.containers.len()), (SandboxState::Running, 1));
        assert!(stage.dir("web").join("shared/a/rootfs/etc/passwd").exists(), "its files are there");
        stage.runtime().delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
    }
}

#[tokio::test]
async fn fifty_sandboxes_are_made_and_deleted_by_eight_processes() {
    let stage = Stage::new();
    let begin = Instant::now();
    let said = said((1..=8).map(|seed| spawn(&stage, &format!("crowd {seed}"))).collect());
    println!("8 processes, {} operations in {:?}: {said:?}", said.values().sum::<usize>(), begin.elapsed());
    assert_eq!(said.values().sum::<usize>(), 400);
    assert!(said["created"] >= 50 && said["deleted"] >= 20, "{said:?}");
    let runtime = stage.runtime();
    let list = runtime.list_sandboxes().await.unwrap();
    for (name, status) in list {
        assert_eq!(status.unwrap().state, SandboxState::Running, "{name}");
        runtime.delete_sandbox(&sid(&name), DeleteMode::Force).await.unwrap();
    }
    assert_eq!(stage.root.leaks(), []);
}

#[tokio::test]
async fn a_start_and_a_delete_end_in_one_of_two_ways() {
    let mut started = 0;
    for round in 0..30 {
        let stage = Stage::new();
        stage.runtime().create_sandbox(stage.config("web", &["a", "b"])).await.unwrap();
        let (one, other) = (stage.runtime(), stage.runtime());
        let web = sid("web");
        let (start, delete) = if round % 2 == 0 {
            tokio::join!(one.start_sandbox(&web), other.delete_sandbox(&web, DeleteMode::Force))
        } else {
            let (delete, start) =
                tokio::join!(other.delete_sandbox(&web, DeleteMode::Force), one.start_sandbox(&web));
            (start, delete)
        };
        delete.unwrap();
        match start {
            Ok(_) => started += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
        }
        assert_eq!(stage.root.leaks(), []);
    }
    assert!(started < 30);
}
