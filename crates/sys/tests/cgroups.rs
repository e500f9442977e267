//! Control groups of this host: a process starts in them, and ends with them. Needs root, or groups that were delegated.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

use std::path::PathBuf;

use virtcontainers_sys::{
    cgroup::{self, Hierarchy, Version},
    process::{Mark, ProcessRef},
    spawn::{Spawn, SpawnError},
};
use virtcontainers_types::SandboxId;

/// A root directory of this test, and what its groups are called.
fn named() -> (tempfile::TempDir, SandboxId, String) {
    let root = tempfile::tempdir().unwrap();
    let id = SandboxId::new("web").unwrap();
    let name = cgroup::name(root.path(), &id);
    (root, id, name)
}

/// A group in every hierarchy, below where this test is.
fn groups(name: &str) -> Vec<(Hierarchy, PathBuf)> {
    let hierarchies = cgroup::hierarchies().unwrap();
    assert!(!hierarchies.is_empty(), "no control groups: mount cgroup2 at /sys/fs/cgroup");
    hierarchies.into_iter().map(|found| (found.clone(), found.dir_of(name.as_ref()))).collect()
}

/// The groups of a process, as paths in the host's files.
fn is_in(pid: u32, dirs: &[(Hierarchy, PathBuf)]) -> bool {
    dirs.iter().all(|(_, dir)| cgroup::processes(dir).unwrap().contains(&pid))
}

#[tokio::test]
async fn a_process_starts_in_its_groups_and_ends_with_them() {
    let (root, id, name) = named();
    let groups = groups(&name);
    for (hierarchy, dir) in &groups {
        cgroup::make(hierarchy, dir).unwrap();
        cgroup::make(hierarchy, dir).unwrap();
        cgroup::may_join(hierarchy, dir).unwrap();
    }
    let dirs: Vec<PathBuf> = groups.iter().map(|(_, dir)| dir.clone()).collect();
    let found: Vec<PathBuf> =
        cgroup::find_under(root.path()).unwrap().into_iter().map(|found| found.dir).collect();
    assert!(dirs.iter().all(|dir| found.contains(dir)) && found.len() == dirs.len(), "{found:?}");

    // The program looks at where it is as soon as it runs, and leaves a process behind that nobody knows.
    let seen = root.path().join("seen");
    let mark = Mark::new(root.path(), &id, "vmm").within(dirs.clone());
    let script = format!(
        "cat /proc/self/cgroup > {0}.tmp; setsid sleep 1000 & echo $! >> {0}.tmp; mv {0}.tmp {0}; exec sleep 1000",
        seen.display()
    );
    let child = Spawn::new("/bin/sh").args(["-c", &script]).mark(&mark).confined().spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => panic!("{error:?}"),
    };
    assert!(is_in(child.process().pid, &groups));
    let mut watch = tokio::time::interval(std::time::Duration::from_millis(5));
    for _ in 0..1000 {
        if seen.exists() {
            break;
        }
        watch.tick().await;
    }
    let said = std::fs::read_to_string(&seen).unwrap();
    let lines = said.lines().filter(|line| line.ends_with(&format!("/{name}"))).count();
    assert_eq!(lines, groups.len(), "{said}");
    assert!(cgroup::processes(&dirs[0]).unwrap().len() >= 2);
    let others: Vec<ProcessRef> =
        cgroup::processes(&dirs[0]).unwrap().into_iter().map(|pid| ProcessRef::of(pid).unwrap()).collect();

    for dir in &dirs {
        cgroup::remove(dir).await.unwrap();
        cgroup::remove(dir).await.unwrap();
    }
    assert!(others.iter().all(|process| !process.is_alive()));
    assert!(cgroup::find_under(root.path()).unwrap().is_empty());

    let late = Spawn::new("sleep").args(["1"]).mark(&mark).spawn().unwrap_err();
    assert!(matches!(late, SpawnError::Cgroup { .. }), "{late:?}");
}

/// The unified hierarchy ends a whole tree at once; nothing in another group is touched.
#[tokio::test]
async fn killing_a_group_ends_those_below_it_and_no_other() {
    let (root, id, name) = named();
    for (hierarchy, dir) in groups(&name) {
        let other = dir.with_file_name(format!("{name}2"));
        let below = dir.join("below");
        cgroup::make(&hierarchy, &below).unwrap();
        cgroup::make(&hierarchy, &other).unwrap();
        let start = |dir: &PathBuf| {
            let mark = Mark::new(root.path(), &id, "vmm").within(vec![dir.clone()]);
            Spawn::new("sleep").args(["1000"]).mark(&mark).spawn().unwrap()
        };
        let (inner, outer, stranger) = (start(&below), start(&dir), start(&other));
        assert_eq!(hierarchy.version == Version::V2, dir.join("cgroup.kill").exists());
        let struck = cgroup::kill(&dir).unwrap();
        assert_eq!(struck.len(), 2);
        for process in struck {
            process.exited().await.unwrap();
        }
        assert!(!inner.process().is_alive() && !outer.process().is_alive());
        assert!(stranger.process().is_alive());
        cgroup::remove(&dir).await.unwrap();
        assert!(!dir.exists() && other.exists());
        cgroup::remove(&other).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_group_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let group = dir.path().join("group");
    std::fs::create_dir(&group).unwrap();
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    assert!(cgroup::kill(&group).is_err());
    assert!(cgroup::remove(&group).await.is_err());
    assert!(group.exists());
    let hierarchy = cgroup::hierarchies().unwrap().remove(0);
    assert!(cgroup::make(&hierarchy, dir.path()).is_err());
    assert!(cgroup::make(&hierarchy, &hierarchy.mount).is_err());
}
