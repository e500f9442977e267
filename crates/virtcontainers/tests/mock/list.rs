//! Listing: complete, honest about what cannot be read, and never waiting.

use virtcontainers::{
    Cmd, DeleteMode, ErrorKind, SandboxState,
    agent::mock::Method,
    store::{FaultKind, FaultPlan},
};

use crate::stage::{Stage, cid, sid};

#[tokio::test]
async fn garbage_is_listed_with_its_reason() {
    let mut stage = Stage::new();
    for id in ["b", "a"] {
        stage.runtime().create_sandbox(stage.config(id, &["c"])).await.unwrap();
        stage.new_guest();
    }
    let runtime = stage.runtime();
    for (name, content) in [("broken", "{\"schema\":1"), ("newer", "{\"schema\":99}"), ("empty", "")] {
        std::fs::create_dir(stage.dir(name)).unwrap();
        std::fs::write(stage.dir(name).join("record.json"), content).unwrap();
    }
    std::fs::create_dir(stage.dir("no.id")).unwrap();
    std::fs::write(stage.dir("a").join("container.c.json"), "junk").unwrap();

    let list = runtime.list_sandboxes().await.unwrap();
    let shown: Vec<_> = list
        .iter()
        .map(|(name, status)| (name.as_str(), status.as_ref().map(|s| s.state).map_err(|e| e.kind())))
        .collect();
    let unreadable = Err(ErrorKind::Storage);
    assert_eq!(
        shown,
        [
            ("a", Ok(SandboxState::Ready)),
            ("b", Ok(SandboxState::Ready)),
            ("broken", unreadable),
            ("empty", unreadable),
            ("newer", unreadable),
            ("no.id", unreadable),
        ]
    );
    let a = list[0].1.as_ref().unwrap();
    assert_eq!((a.containers.len(), a.broken_containers[0].name.as_str()), (0, "c"));

    let refused = runtime.delete_sandbox(&sid("broken"), DeleteMode::IfStopped).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Storage);
    for id in ["a", "b", "broken", "newer", "empty"] {
        runtime.delete_sandbox(&sid(id), DeleteMode::Force).await.unwrap();
    }
    std::fs::remove_dir(stage.dir("no.id")).unwrap();
}

#[tokio::test]
async fn status_does_not_wait_for_a_slow_verb() {
    let stage = Stage::new();
    // A create that hangs holds the lease; status and list answer all the same.
    let faults = FaultPlan::at(4, FaultKind::Hang);
    let runtime = stage.runtime_with(faults.clone());
    let config = stage.config("slow", &["a"]);
    let create = tokio::spawn(async move { runtime.create_sandbox(config).await });
    while faults.passed().len() <= 4 {
        tokio::task::yield_now().await;
    }
    let reader = stage.runtime();
    assert_eq!(reader.sandbox_status(&sid("slow")).await.unwrap().state, SandboxState::Creating);
    assert_eq!(reader.list_sandboxes().await.unwrap().len(), 1);
    create.abort();
    let gone = reader.delete_sandbox(&sid("slow"), DeleteMode::Force).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound, "the create without a caller was undone");
}

#[tokio::test]
async fn the_hundredth_container_costs_as_the_first() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &[])).await.unwrap();
    let reads = || -> u64 {
        let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
    };
    let mut calls = Vec::new();
    for number in 0..100 {
        let before = reads();
        sandbox.create_container(stage.container(&format!("c{number}"))).await.unwrap();
        calls.push(reads() - before);
    }
    assert_eq!(stage.agent.count(Method::CreateContainer), 100);
    let (first, last) = (calls[1], calls[99]);
    assert!(last <= first + 8, "{first} reads for the second, {last} for the hundredth");
    let container = sandbox.container(&cid("c42"));
    container.start().await.unwrap();
    container.exec(Cmd::new(["/bin/true"])).await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
}
