//! The host's control groups: who is in them, what they are allowed, and that they go.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use virtcontainers::{
    ContainerResources, DeleteMode, ErrorKind, GcOptions, GcOutcome, MiB, Problem, Sandbox, SandboxConfig,
    SandboxState, StopMode,
};
use virtcontainers_sys::{
    cgroup,
    process::{Mark, ProcessRef},
    spawn::Spawn,
};

use crate::stage::{Stage, cid, sid};

/// A sandbox with a helper process: the mock machine has none.
fn with_daemon(stage: &Stage, id: &str) -> SandboxConfig {
    let program = stage.rootfs.path().join("daemon");
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = stage.config(id, &["a"]);
    config.hypervisor_config.virtio_fs_daemon = Some(program);
    config
}

/// The first of a sandbox's groups that has this file.
fn file_of(groups: &[PathBuf], names: [&str; 2]) -> PathBuf {
    let files = groups.iter().flat_map(|group| names.map(|name| group.join(name)));
    files.into_iter().find(|file| file.exists()).unwrap()
}

fn number(path: &Path) -> String {
    fs::read_to_string(path).unwrap().split_whitespace().next().unwrap().to_owned()
}

async fn groups(sandbox: &Sandbox) -> Vec<PathBuf> {
    sandbox.status().await.unwrap().cgroups
}

#[tokio::test]
async fn helpers_start_in_the_groups_and_strays_end_with_them() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(with_daemon(&stage, "web")).await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert!(!status.cgroups.is_empty() && status.lacking_cgroups.is_empty(), "{status:?}");
    let daemon = status.processes[0].pid;
    let name = cgroup::name(stage.root.path(), sandbox.id());
    let hierarchies = cgroup::hierarchies().unwrap();
    let told = fs::read_to_string(format!("/proc/{daemon}/cgroup")).unwrap();
    let within = told.lines().filter(|line| line.ends_with(&format!("/{name}"))).count();
    let holding =
        hierarchies.iter().filter(|found| status.cgroups.iter().any(|group| group.starts_with(&found.mount)));
    assert_eq!(within, holding.count(), "{told}");

    // Somebody that no record and no mark knows.
    let first = status.cgroups[0].clone();
    let nobody = Mark::from(std::ffi::OsString::from("nobody")).within(vec![first]);
    let stray = Spawn::new("sleep").args(["1000"]).mark(&nobody).spawn().unwrap().process();
    let (used, _) = sandbox.stats().await.unwrap();
    assert!(used.cgroup_stats.pids_stats.current >= 1, "{used:?}");
    assert!(used.cgroup_stats.memory_stats.usage.usage > 0, "{used:?}");

    sandbox.stop(StopMode::Force).await.unwrap();
    assert!(!stray.is_alive());
    assert!(status.cgroups.iter().all(|group| !group.exists()));
    assert_eq!(groups(&sandbox).await, Vec::<PathBuf>::new());
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn limits_follow_the_containers() {
    let stage = Stage::new();
    let parent = format!("vc-test-{}", std::process::id());
    let mut config = stage.config("web", &["a"]);
    config.cgroups = Some(parent.clone());
    config.sandbox_cgroup_only = true;
    config.memory_overhead = MiB(128);
    let limited = |vcpus| Some(ContainerResources { vcpus, mem_byte: 0 }.into());
    config.containers[0].resources = limited(1);
    let sandbox = stage.runtime().run_sandbox(config).await.unwrap();
    let groups = groups(&sandbox).await;
    assert!(groups.iter().all(|group| group.parent().unwrap().ends_with(&parent)), "{groups:?}");
    let quota = file_of(&groups, ["cpu.cfs_quota_us", "cpu.max"]);
    let memory = file_of(&groups, ["memory.limit_in_bytes", "memory.max"]);
    assert_eq!(number(&quota), "100000");
    assert_eq!(number(&memory), ((1024 + 128) << 20).to_string());

    let mut second = stage.container("b");
    second.resources = limited(2);
    let second = sandbox.create_container(second).await.unwrap();
    assert_eq!(number(&quota), "300000");
    second.start().await.unwrap();
    second.update(ContainerResources { vcpus: 3, mem_byte: 0 }).await.unwrap();
    assert_eq!(number(&quota), "400000");
    let third = sandbox.create_container(stage.container("c")).await.unwrap();
    assert!(["-1", "max"].contains(&number(&quota).as_str()), "a container without a limit has them all");
    third.delete(DeleteMode::Force).await.unwrap();
    second.delete(DeleteMode::Force).await.unwrap();
    assert_eq!(number(&quota), "100000");
    assert_eq!(sandbox.container(&cid("a")).id().as_str(), "a");
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(groups.iter().all(|group| !group.parent().unwrap().exists()), "made for it, gone with it");
}

#[tokio::test]
async fn groups_that_were_asked_for_and_cannot_be_are_an_error() {
    let stage = Stage::new();
    let mut config = stage.config("web", &["a"]);
    // A file of the hierarchy: no group can be made below it.
    config.cgroups = Some("cgroup.procs/below".into());
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    assert_eq!(stage.root.leaks(), []);

    let mut config = stage.config("web", &["a"]);
    (config.cgroups, config.memory_overhead) = (Some("../up".into()), MiB(1));
    config.systemd_cgroup = !Path::new("/run/systemd/system").exists();
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    let fields: Vec<_> =
        error.violations().iter().map(|violation| (violation.field.clone(), &violation.problem)).collect();
    assert!(fields.iter().any(|(field, _)| field == "cgroups"), "{fields:?}");
    assert!(fields.iter().any(|(field, _)| field == "memory_overhead"), "{fields:?}");
    if !Path::new("/run/systemd/system").exists() {
        assert!(fields.iter().any(|(_, problem)| **problem == Problem::NoSystemd), "{fields:?}");
    }
}

/// Groups whose record is gone, with a process in them; those of a sandbox that lives and of another root stay.
#[tokio::test]
async fn groups_of_sandboxes_that_are_no_more_are_collected() {
    let (stage, other) = (Stage::new(), Stage::new());
    let runtime = stage.runtime();
    let live = runtime.run_sandbox(stage.config("live", &["a"])).await.unwrap();
    let foreign = other.runtime().run_sandbox(other.config("gone", &["a"])).await.unwrap();
    let kept = [groups(&live).await, groups(&foreign).await].concat();

    let hierarchy = cgroup::hierarchies().unwrap().remove(0);
    let dir = hierarchy.dir_of(cgroup::name(stage.root.path(), &sid("gone")).as_ref());
    cgroup::make(&hierarchy, &dir).unwrap();
    let nobody = Mark::from(std::ffi::OsString::from("nobody")).within(vec![dir.clone()]);
    let orphan: ProcessRef = Spawn::new("sleep").args(["1000"]).mark(&nobody).spawn().unwrap().process();
    let planned = runtime.gc(GcOptions::dry_run()).await.unwrap().items;
    assert_eq!((planned.len(), planned[0].sandbox.as_str()), (1, "gone"), "{planned:?}");
    assert!(orphan.is_alive());
    let done = runtime.gc(GcOptions::default()).await.unwrap().items;
    assert_eq!(done[0].outcome, GcOutcome::Removed, "{done:?}");
    assert!(!orphan.is_alive() && !dir.exists());
    assert!(kept.iter().all(|group| group.is_dir()));
    assert_eq!(live.status().await.unwrap().state, SandboxState::Running);
    live.delete(DeleteMode::Force).await.unwrap();
    foreign.delete(DeleteMode::Force).await.unwrap();
}
