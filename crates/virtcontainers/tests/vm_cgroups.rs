//! A real sandbox in the host's control groups. These tests need what those of `vm_sandbox` need, and hierarchies of control
//! groups in which groups may be made.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;

use std::path::PathBuf;

use guest::Stage;
use virtcontainers::{ContainerConfig, DeleteMode, MiB, Sandbox, SandboxConfig, ShimKind};
use virtcontainers_sys::{
    cgroup,
    process::{Mark, Marked},
};

/// A sandbox with every helper that there is, whose container is at work.
async fn busy(stage: &Stage, change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = stage.config("web");
    config.shim_type = ShimKind::Kata;
    config.containers = vec![ContainerConfig {
        cmd: virtcontainers::Cmd {
            detach: true,
            ..virtcontainers::Cmd::new(["/bin/sh", "-c", "while :; do :; done"])
        },
        ..stage.shell("a", "")
    }];
    change(&mut config);
    stage.runtime().run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()))
}

/// The sandbox's processes, by their marks.
fn processes(stage: &Stage) -> Vec<Marked> {
    let found = Mark::find_under(stage.root.path()).unwrap();
    let roles: Vec<_> = found.iter().map(|marked| marked.role.as_str()).collect();
    for role in ["vmm", "virtiofsd", "shim"] {
        assert!(roles.contains(&role), "{roles:?}");
    }
    found
}

/// Those of the groups in which a process is.
fn groups_of(pid: u32, groups: &[PathBuf]) -> Vec<&PathBuf> {
    groups.iter().filter(|group| cgroup::processes(group).unwrap().contains(&pid)).collect()
}

/// Uses processors and memory, more and more of the former; ends with nothing left.
async fn counts_and_ends(stage: &Stage, sandbox: Sandbox, groups: &[PathBuf]) {
    let (before, _) = sandbox.stats().await.unwrap();
    let code = sandbox.container(&"a".parse().unwrap());
    let work = code.exec(virtcontainers::Cmd::new(["seq", "1", "200000"])).await.unwrap();
    drop(guest::output(&work).await);
    let (after, _) = sandbox.stats().await.unwrap();
    let cpu = |stats: &virtcontainers::SandboxStats| stats.cgroup_stats.cpu_stats.cpu_usage.total_usage;
    assert!(cpu(&after) > cpu(&before) + 10_000_000, "{} {}", cpu(&before), cpu(&after));
    let memory = after.cgroup_stats.memory_stats.usage.usage;
    assert!((32 << 20..1 << 30).contains(&memory), "{memory}");
    assert!(after.cgroup_stats.pids_stats.current >= 3, "{after:?}");

    let all = processes(stage);
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(all.iter().all(|marked| !marked.process.is_alive()));
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_every_process_is_in_the_sandbox_s_groups() {
    let stage = Stage::new().await;
    let parent = format!("vc-test-vm-{}", std::process::id());
    let sandbox = busy(&stage, |config| {
        config.cgroups = Some(parent.clone());
        config.sandbox_cgroup_only = true;
        config.memory_overhead = MiB(256);
    })
    .await;
    let groups = sandbox.status().await.unwrap().cgroups;
    assert!(groups.iter().all(|group| group.parent().unwrap().ends_with(&parent)), "{groups:?}");
    for marked in processes(&stage) {
        assert_eq!(groups_of(marked.process.pid, &groups).len(), groups.len(), "{marked:?}");
    }
    let (stats, _) = sandbox.stats().await.unwrap();
    assert_eq!(stats.cgroup_stats.memory_stats.usage.limit, (512 + 256) << 20);
    counts_and_ends(&stage, sandbox, &groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_the_machine_is_apart_from_its_helpers() {
    let stage = Stage::new().await;
    let parent = format!("vc-test-vm-{}", std::process::id());
    let sandbox = busy(&stage, |config| config.cgroups = Some(parent)).await;
    let groups = sandbox.status().await.unwrap().cgroups;
    let overhead = |group: &PathBuf| group.parent().unwrap().ends_with("virtcontainers-overhead");
    let cpu: Vec<_> = groups.iter().filter(|group| group.join("cpu.stat").exists()).collect();
    assert!(cpu.iter().any(|group| overhead(group)), "{groups:?}");
    for marked in processes(&stage) {
        let within = groups_of(marked.process.pid, &groups);
        assert!(!within.is_empty(), "{marked:?}");
        let limitable =
            groups.iter().find(|group| !overhead(group) && group.join("cpu.stat").exists()).unwrap();
        if limitable.starts_with("/sys/fs/cgroup/unified") {
            continue;
        }
        assert_eq!(within.contains(&limitable), marked.role == "vmm", "{marked:?} {within:?}");
    }
    counts_and_ends(&stage, sandbox, &groups).await;
}
