//! Gc: real leftovers are found and removed; what lives, what is another root's, and what cannot be read stays.

use std::{os::unix::fs::PermissionsExt as _, process::Command};

use virtcontainers::{
    DeleteMode, ErrorKind, GcItem, GcOptions, GcOutcome, Runtime, SandboxState, StatusReason, StopMode,
};
use virtcontainers_sys::process::{Mark, ProcessRef};
use virtcontainers_testkit::kill;

use crate::stage::{Stage, sid};

async fn gc(runtime: &Runtime) -> Vec<GcItem> {
    let planned = runtime.gc(GcOptions::dry_run()).await.unwrap().items;
    let done = runtime.gc(GcOptions::default()).await.unwrap().items;
    assert_eq!(planned.len(), done.len(), "{planned:?} {done:?}");
    done
}

/// A process that carries a mark of this stage's root.
fn marked(stage: &Stage, id: &str, role: &str) -> std::process::Child {
    let mark = Mark::new(stage.root.path(), &sid(id), role);
    Command::new("sleep").arg("1000").env(Mark::VAR, mark.value()).spawn().unwrap()
}

#[tokio::test]
async fn what_lives_and_what_is_another_root_s_is_left_alone() {
    let (mut stage, other) = (Stage::new(), Stage::new());
    let runtime = stage.runtime();
    let mut kept = Vec::new();
    for id in ["ready", "running", "paused", "stopped"] {
        stage.new_guest();
        let runtime = stage.runtime();
        let sandbox = runtime.create_sandbox(stage.config(id, &["a"])).await.unwrap();
        if id != "ready" {
            sandbox.start().await.unwrap();
        }
        match id {
            "paused" => sandbox.pause().await.unwrap(),
            "stopped" => sandbox.stop(StopMode::Force).await.unwrap(),
            _ => {}
        }
        kept.push(sandbox);
    }
    let foreign = other.runtime().run_sandbox(other.config("running", &["a"])).await.unwrap();
    let mut stranger = marked(&other, "gone", "vmm");
    let mut before = Vec::new();
    for sandbox in &kept {
        before.push(sandbox.status().await.unwrap());
    }
    assert_eq!(gc(&runtime).await, []);
    for (sandbox, before) in kept.iter().zip(&before) {
        assert_eq!(&sandbox.status().await.unwrap(), before);
        sandbox.delete(DeleteMode::Force).await.unwrap();
    }
    assert_eq!(foreign.status().await.unwrap().state, SandboxState::Running);
    assert!(stranger.try_wait().unwrap().is_none());
    assert_eq!(gc(&other.runtime()).await.len(), 1, "it is that root's");
    stranger.wait().unwrap();
    foreign.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn processes_and_mounts_of_sandboxes_that_are_no_more_are_removed() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let mut orphans = [marked(&stage, "gone", "vmm"), marked(&stage, "gone", "virtiofsd")];
    // A delete that was killed while it removed the directory.
    let outgoing = stage.root.path().join("sandboxes/.gone-web-1");
    std::fs::create_dir_all(outgoing.join("mounts")).unwrap();
    let mounts = outgoing.join("mounts");
    virtcontainers_sys::mount::bind(stage.rootfs.path(), &mounts, Default::default()).unwrap();
    let dry = runtime.gc(GcOptions::dry_run()).await.unwrap();
    assert_eq!(dry.items.len(), 3, "{dry:?}");
    assert!(orphans.iter_mut().all(|orphan| orphan.try_wait().unwrap().is_none()), "it only told");
    let items = gc(&runtime).await;
    assert!(items.iter().all(|item| item.outcome == GcOutcome::Removed), "{items:?}");
    for orphan in &mut orphans {
        assert!(!orphan.wait().unwrap().success());
    }
    assert!(stage.rootfs.path().join("etc/passwd").exists(), "what was mounted is not touched");
    assert_eq!(stage.root.leaks(), []);
}

/// A daemon that the machine cannot do without is killed, then the sandbox is what gc takes apart; its record stays.
#[tokio::test]
async fn what_a_dead_machine_has_left_is_released() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let program = stage.rootfs.path().join("daemon");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = stage.config("web", &["a"]);
    config.hypervisor_config.virtio_fs_daemon = Some(program);
    let sandbox = runtime.run_sandbox(config).await.unwrap();
    let daemon = ProcessRef::of(sandbox.status().await.unwrap().processes[0].pid).unwrap();
    let seen = daemon.open().unwrap().unwrap();
    kill(daemon.pid).await;
    seen.exited().await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert_eq!(status.state, SandboxState::Stopped);
    assert_eq!(status.reason, Some(StatusReason::HelperDied { role: "virtiofsd" }));
    let stray = marked(&stage, "web", "netmon");
    let stray_process = ProcessRef::of(stray.id()).unwrap();
    let items = gc(&runtime).await;
    assert!(items.len() >= 4, "share, daemon, machine and the stray: {items:?}");
    assert!(!stray_process.is_alive());
    { stray }.wait().unwrap();
    assert_eq!(gc(&runtime).await, []);
    let status = sandbox.status().await.unwrap();
    assert_eq!(
        status.reason,
        Some(StatusReason::HelperDied { role: "virtiofsd" }),
        "and that is still known"
    );
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn damaged_records_are_set_aside_and_newer_ones_left() {
    let mut stage = Stage::new();
    let runtime = stage.runtime();
    for id in ["damaged", "alive"] {
        stage.new_guest();
        stage.runtime().run_sandbox(stage.config(id, &["a"])).await.unwrap();
        let path = stage.dir(id).join("record.json");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() - 100;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let newer = br#"{"schema":99,"all":"different"}"#;
    std::fs::create_dir(stage.dir("newer")).unwrap();
    std::fs::write(stage.dir("newer").join("record.json"), newer).unwrap();
    std::fs::create_dir(stage.dir("begun")).unwrap();
    let mut vmm = marked(&stage, "alive", "vmm");

    for (name, status) in runtime.list_sandboxes().await.unwrap() {
        assert_eq!(status.unwrap_err().kind(), ErrorKind::Storage, "{name} is listed, with its reason");
    }
    let items = gc(&runtime).await;
    let of = |id: &str| &items.iter().find(|item| item.sandbox == id).unwrap().outcome;
    let GcOutcome::SetAside { to: Some(to), .. } = of("damaged") else { panic!("{items:?}") };
    assert!(to.starts_with(stage.root.path().join("set-aside")) && to.join("record.json").exists());
    assert!(matches!(of("newer"), GcOutcome::Left { .. }), "{items:?}");
    assert!(matches!(of("alive"), GcOutcome::Left { .. }), "its machine lives: {items:?}");
    assert_eq!(of("begun"), &GcOutcome::Removed);
    assert_eq!(std::fs::read(stage.dir("newer").join("record.json")).unwrap(), newer);
    assert!(vmm.try_wait().unwrap().is_none());
    runtime.delete_sandbox(&sid("alive"), DeleteMode::Force).await.unwrap();
    assert!(!vmm.wait().unwrap().success());
    runtime.delete_sandbox(&sid("newer"), DeleteMode::Force).await.unwrap();
    std::fs::remove_dir_all(stage.root.path().join("set-aside")).unwrap();
}

#[tokio::test]
async fn a_sandbox_at_which_somebody_works_is_left_alone() {
    use virtcontainers::store::{FaultKind, FaultPlan};
    let stage = Stage::new();
    let faults = FaultPlan::at(4, FaultKind::Hang);
    let runtime = stage.runtime_with(faults.clone());
    let config = stage.config("slow", &["a"]);
    let create = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.create_sandbox(config).await.map(drop) }
    });
    while faults.passed().len() <= 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gc(&stage.runtime()).await, []);
    assert_eq!(stage.runtime().sandbox_status(&sid("slow")).await.unwrap().state, SandboxState::Creating);
    create.abort();
    runtime.settled().await;
}

fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() - 40;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn by_force_what_lives_under_a_damaged_record_is_ended_and_the_record_set_aside() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    runtime.run_sandbox(stage.config("web", &["a"])).await.unwrap();
    damage(&stage.dir("web").join("record.json"));
    let mut living = [marked(&stage, "web", "vmm"), marked(&stage, "web", "virtiofsd")];
    for options in [GcOptions::default(), GcOptions::dry_run(), GcOptions::dry_run().force()] {
        runtime.gc(options).await.unwrap();
        assert!(living.iter_mut().all(|process| process.try_wait().unwrap().is_none()), "{options:?}");
    }
    let items = runtime.gc(GcOptions::default().force()).await.unwrap().items;
    let [GcItem { outcome: GcOutcome::SetAside { to: Some(to), .. }, .. }] = items.as_slice() else {
        panic!("{items:?}")
    };
    assert!(to.join("record.json").exists());
    for process in &mut living {
        assert!(!process.wait().unwrap().success());
    }
    assert_eq!(runtime.gc(GcOptions::default().force()).await.unwrap().items, []);
    assert_eq!(runtime.list_sandboxes().await.unwrap().len(), 0);
    std::fs::remove_dir_all(stage.root.path().join("set-aside")).unwrap();
}

#[tokio::test]
async fn by_force_a_container_with_a_damaged_record_leaves_its_guest_and_its_id_is_free() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &["a", "b"])).await.unwrap();
    damage(&stage.dir("web").join("container.a.json"));
    let left = gc(&runtime).await;
    assert!(matches!(left.as_slice(), [GcItem { outcome: GcOutcome::Left { .. }, .. }]), "{left:?}");
    assert_eq!(stage.agent.containers().len(), 2, "never otherwise");
    sandbox.pause().await.unwrap();
    let left = runtime.gc(GcOptions::default().force()).await.unwrap().items;
    assert!(matches!(left.as_slice(), [GcItem { outcome: GcOutcome::Left { .. }, .. }]), "{left:?}");
    sandbox.resume().await.unwrap();

    let planned = runtime.gc(GcOptions::dry_run().force()).await.unwrap().items;
    assert!(matches!(planned[0].outcome, GcOutcome::SetAside { to: None, .. }), "{planned:?}");
    assert_eq!(stage.agent.containers().len(), 2);
    let done = runtime.gc(GcOptions::default().force()).await.unwrap().items;
    let [GcItem { outcome: GcOutcome::SetAside { to: Some(to), .. }, .. }] = done.as_slice() else {
        panic!("{done:?}")
    };
    assert!(to.is_file() && to.file_name().unwrap().to_string_lossy().starts_with("web-a-"), "{to:?}");
    assert_eq!(stage.agent.containers(), [virtcontainers::ContainerId::new("b").unwrap()]);
    let status = sandbox.status().await.unwrap();
    assert_eq!(
        (status.state, status.broken_containers.len(), status.containers.len()),
        (SandboxState::Running, 0, 1)
    );
    sandbox.create_container(stage.container("a")).await.unwrap();
    assert_eq!(runtime.gc(GcOptions::default().force()).await.unwrap().items, []);
    sandbox.delete(DeleteMode::Force).await.unwrap();
    std::fs::remove_dir_all(stage.root.path().join("set-aside")).unwrap();
}
