use std::path::{Path, PathBuf};

use super::{
    Hierarchy, Version,
    group::{name, search},
    hierarchy::parse,
};

const HYBRID: &str = "\
24 1 0:21 / /proc rw - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
35 30 0:29 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct";
const GROUPS: &str = "\
3:memory:/docker/abc/job
2:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice
0::/user.slice/session-1.scope";

fn hierarchy(version: Version, mount: &str, controllers: &[&str], own: &str) -> Hierarchy {
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    Hierarchy { version, mount: mount.into(), controllers, own: own.into() }
}

#[test]
fn hierarchies_are_read_as_the_kernel_writes_them() {
    let expected = [
        hierarchy(
            Version::V2,
            "/sys/fs/cgroup/unified",
            &[],
            "/sys/fs/cgroup/unified/user.slice/session-1.scope",
        ),
        hierarchy(
            Version::V1,
            "/sys/fs/cgroup/cpu,cpuacct",
            &["cpu", "cpuacct"],
            "/sys/fs/cgroup/cpu,cpuacct/user.slice",
        ),
        // The part that a container sees: its own group is told by the host's path.
        hierarchy(Version::V1, "/sys/fs/cgroup/memory", &["memory"], "/sys/fs/cgroup/memory/job"),
    ];
    assert_eq!(parse(HYBRID, GROUPS), expected);
}

#[test]
fn a_relative_path_starts_where_limits_can_be() {
    let v1 = hierarchy(Version::V1, "/cg/cpu", &["cpu"], "/cg/cpu/job");
    let v2 = hierarchy(Version::V2, "/cg", &["cpu"], "/cg/slice/scope");
    let top = hierarchy(Version::V2, "/cg", &["cpu"], "/cg");
    let paths = |path: &str| [&v1, &v2, &top].map(|hierarchy| hierarchy.dir_of(Path::new(path)));
    assert_eq!(paths("a/b"), ["/cg/cpu/job/a/b", "/cg/slice/a/b", "/cg/a/b"].map(PathBuf::from));
    assert_eq!(paths("/a/b"), ["/cg/cpu/a/b", "/cg/a/b", "/cg/a/b"].map(PathBuf::from));
    // Never out of the hierarchy.
    assert_eq!(paths("/../../etc")[0], PathBuf::from("/cg/cpu/etc"));
}

#[test]
fn a_name_tells_root_and_sandbox() {
    let id = virtcontainers_types::SandboxId::new("web").unwrap();
    let (one, other) = (name(Path::new("/run/a"), &id), name(Path::new("/run/b"), &id));
    assert_ne!(one, other);
    let dir = tempfile::tempdir().unwrap();
    for path in ["x/y", "z"] {
        std::fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let here = [format!("x/y/{one}"), format!("z/box-{one}.scope"), format!("z/{other}")];
    for path in &here {
        std::fs::create_dir(dir.path().join(path)).unwrap();
    }
    let mut found = Vec::new();
    search(dir.path(), one.strip_suffix("web").unwrap(), 5, &mut found);
    let mut dirs: Vec<_> = found.iter().map(|found| found.dir.clone()).collect();
    dirs.sort();
    assert_eq!(dirs, [dir.path().join(&here[0]), dir.path().join(&here[1])]);
    assert!(found.iter().all(|found| found.sandbox == id));
}
