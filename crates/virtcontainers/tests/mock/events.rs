//! Events: what one runtime does, told to another that only looks at the records.

use std::time::Duration;

use virtcontainers::{
    ContainerResources, DeleteMode, ErrorKind, Event, EventKind, EventOptions, Events, StopMode,
};

use crate::stage::{Stage, cid};

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap()
}

/// The next events, one word each: `created`, or `c:created` for container c.
async fn take(events: &mut Events, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let event = next(events).await;
        let container = event.container.map(|id| format!("{id}:")).unwrap_or_default();
        let code = if let EventKind::Stopped { code: Some(code) } = event.kind {
            format!("({code})")
        } else {
            String::new()
        };
        told.push(format!("{container}{}{code}", event.kind.as_str()));
    }
    told
}

async fn is_silent(events: &mut Events) -> bool {
    tokio::time::timeout(Duration::from_millis(100), events.next()).await.is_err()
}

#[tokio::test]
async fn a_life_as_told_to_another_process() {
    let stage = Stage::new();
    let mut events = stage.runtime().events(EventOptions::default()).unwrap();
    let runtime = stage.runtime();
    let sandbox = runtime.create_sandbox(stage.config("web", &["c"])).await.unwrap();
    let container = sandbox.container(&cid("c"));
    assert_eq!(take(&mut events, 2).await, ["created", "c:created"]);
    sandbox.start().await.unwrap();
    assert_eq!(take(&mut events, 2).await, ["c:started", "started"]);
    container.pause().await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["c:paused"]);
    container.resume().await.unwrap();
    container.update(ContainerResources { vcpus: 0, mem_byte: 64 << 20 }).await.unwrap();
    assert_eq!(take(&mut events, 2).await, ["c:resumed", "c:updated"]);
    container.set_annotations([("k".to_owned(), "v".to_owned())].into()).await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["c:updated"]);
    sandbox.pause().await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["paused"]);
    sandbox.resume().await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["resumed"]);
    let late = sandbox.create_container(stage.container("late")).await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["late:created"]);
    late.delete(DeleteMode::IfStopped).await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["late:deleted"]);
    sandbox.stop(StopMode::Graceful).await.unwrap();
    assert_eq!(take(&mut events, 2).await, ["c:stopped(143)", "stopped"]);
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
    assert_eq!(take(&mut events, 2).await, ["c:deleted", "deleted"]);
    assert!(is_silent(&mut events).await);
}

#[tokio::test]
async fn what_was_not_looked_at_in_time_is_told_in_its_order() {
    let mut stage = Stage::new();
    let mut events = stage.runtime().events(EventOptions::default()).unwrap();
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &["c"])).await.unwrap();
    assert_eq!(take(&mut events, 4).await, ["created", "c:created", "c:started", "started"]);
    // Another one of the same names.
    sandbox.delete(DeleteMode::Force).await.unwrap();
    stage.new_guest();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    sandbox.container(&cid("c")).stop(StopMode::Force).await.unwrap();
    let told = [
        "c:stopped",
        "c:deleted",
        "stopped",
        "deleted",
        "created",
        "c:created",
        "c:started",
        "c:stopped(137)",
        "started",
    ];
    assert_eq!(take(&mut events, told.len()).await, told);
    assert!(is_silent(&mut events).await);

    // What is there already is told to those who ask for it, with the times on record.
    let options = EventOptions { existing: true, ..EventOptions::default() };
    let mut late = stage.runtime().events(options).unwrap();
    let first = next(&mut late).await;
    assert_eq!((first.kind, first.time), (EventKind::Created, sandbox.status().await.unwrap().created));
    assert_eq!(take(&mut late, 4).await, ["c:created", "c:started", "c:stopped(137)", "started"]);
    let json = serde_json::to_value(&first).unwrap();
    assert_eq!((&json["kind"], &json["sandbox"]), (&"created".into(), &"web".into()));
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

/// A shim leaves a note of the end, and nobody writes a record.
#[tokio::test]
async fn a_command_that_ends_unattended() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let mut events = stage.runtime().events(EventOptions::default()).unwrap();
    let dir = stage.dir("web").join("containers/c");
    std::fs::create_dir_all(&dir).unwrap();
    let exec = virtcontainers::ExecId::from(&cid("c"));
    virtcontainers::agent::shim::ExitRecord::now(5).write(&dir, &exec).unwrap();
    assert_eq!(take(&mut events, 1).await, ["c:stopped(5)"]);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_create_that_fails_is_no_event() {
    let stage = Stage::new();
    let mut events = stage.runtime().events(EventOptions::default()).unwrap();
    let mut config = stage.config("web", &["c"]);
    config.containers[0].cmd.user = "nobody-knows".into();
    stage.runtime().create_sandbox(config).await.unwrap_err();
    assert!(is_silent(&mut events).await);
}

#[tokio::test]
async fn more_changes_than_the_kernel_keeps() {
    let stage = Stage::new();
    let mut events = stage.runtime().events(EventOptions::default()).unwrap();
    let bound: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let path = stage.root.path().join("sandboxes/.noise");
    for _ in 0..bound {
        std::fs::write(&path, "").unwrap();
        std::fs::remove_file(&path).unwrap();
    }
    let sandbox = stage.runtime().create_sandbox(stage.config("web", &["c"])).await.unwrap();
    let lost = next(&mut events).await;
    assert_eq!((lost.kind, lost.sandbox), (EventKind::Lost, None));
    assert_eq!(take(&mut events, 2).await, ["created", "c:created"]);
    sandbox.start().await.unwrap();
    assert_eq!(take(&mut events, 2).await, ["c:started", "started"], "it goes on as before");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn memory_that_ran_out() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let mut events = runtime.events(EventOptions { oom: true, existing: false }).unwrap();
    let sandbox = runtime.run_sandbox(stage.config("web", &["c"])).await.unwrap();
    assert_eq!(take(&mut events, 4).await, ["created", "c:created", "c:started", "started"]);
    stage.agent.run_out_of_memory(&cid("c"));
    stage.agent.run_out_of_memory(&cid("c"));
    assert_eq!(take(&mut events, 2).await, ["c:oom", "c:oom"]);
    drop(events);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_store_of_ones_own_has_no_files_to_watch() {
    let stage = Stage::new();
    let store = virtcontainers::store::FsStore::open(stage.root.path()).unwrap();
    let runtime =
        virtcontainers::Runtime::builder().root(stage.root.path()).store(std::sync::Arc::new(store));
    let error = runtime.build().unwrap().events(EventOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotBuilt, "{error}");
}
