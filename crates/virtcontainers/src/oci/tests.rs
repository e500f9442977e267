use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Mount as OciMount, Spec};
use virtcontainers_types::EnvVar;

use super::*;
use crate::config::{Cmd, ContainerConfig, Mount};

const TRAITS: SandboxTraits<'_> =
    SandboxTraits { hostname: "host", shm_size: Bytes(1 << 20), disable_seccomp: false };

fn made(config: ContainerConfig) -> GuestContainer {
    guest_container(&config.validate().unwrap(), TRAITS).unwrap()
}

fn mount_at<'spec>(spec: &'spec Spec, destination: &str) -> &'spec OciMount {
    let found: Vec<_> = spec
        .mounts()
        .iter()
        .flatten()
        .filter(|mount| mount.destination() == Path::new(destination))
        .collect();
    assert_eq!(found.len(), 1, "mounts at {destination}: {found:?}");
    found[0]
}

#[test]
fn defaults_isolate() {
    let rootfs = tempfile::tempdir().unwrap();
    let guest = made(ContainerConfig::new("c", rootfs.path(), ["/bin/sh"]));
    let spec = guest.spec;
    let namespaces: Vec<_> = spec
        .linux()
        .as_ref()
        .unwrap()
        .namespaces()
        .iter()
        .flatten()
        .map(|namespace| namespace.typ())
        .collect();
    assert_eq!(
        namespaces,
        [
            LinuxNamespaceType::Mount,
            LinuxNamespaceType::Uts,
            LinuxNamespaceType::Ipc,
            LinuxNamespaceType::Cgroup
        ],
        "the network is the sandbox's, the pids are arranged by the agent"
    );
    let process = spec.process().as_ref().unwrap();
    let env = process.env().as_ref().unwrap();
    assert!(
        env[0].starts_with("PATH=/usr/local/sbin:") && env[1] == "HOME=/root" && env.len() == 2,
        "{env:?}"
    );
    assert_eq!(process.cwd(), Path::new("/"));
    assert_eq!(process.capabilities().as_ref().unwrap().effective().as_ref().unwrap().len(), 14);
    assert_eq!(spec.hostname().as_deref(), Some("host"));
    assert!(mount_at(&spec, "/dev/shm").options().iter().flatten().any(|option| option == "size=1048576"));
    assert!(mount_at(&spec, "/sys").options().iter().flatten().any(|option| option == "ro"));
    assert!(spec.linux().as_ref().unwrap().masked_paths().iter().flatten().any(|path| path == "/proc/kcore"));
}

#[test]
fn the_command_is_carried_whole() {
    let rootfs = tempfile::tempdir().unwrap();
    let cmd = Cmd {
        user: "1000:1001".into(),
        supplementary_groups: vec!["5".into(), "4".into()],
        envs: vec![EnvVar { var: "HOME".into(), value: "/h".into() }],
        work_dir: "/w".into(),
        interactive: true,
        no_new_privileges: true,
        ..Cmd::new(["sh", "-c", "x"])
    };
    let spec = made(ContainerConfig { cmd, ..ContainerConfig::new("c", rootfs.path(), [""]) }).spec;
    let process = spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (1000, 1001));
    assert_eq!(process.user().additional_gids().as_deref(), Some(&[4, 5][..]));
    let env = process.env().as_ref().unwrap();
    assert_eq!(env[1..], ["TERM=xterm".to_owned(), "HOME=/h".to_owned()]);
    assert_eq!(process.terminal(), Some(true));
    assert_eq!(process.no_new_privileges(), Some(true));
    assert_eq!(process.capabilities().as_ref().unwrap().effective().as_ref().unwrap().len(), 0, "not root");
}

#[test]
fn mounts_take_the_place_of_defaults() {
    let rootfs = tempfile::tempdir().unwrap();
    let tmp = |destination: &str| Mount {
        destination: destination.into(),
        fs_type: "tmpfs".into(),
        options: vec!["size=1m".into()],
        ..Mount::default()
    };
    let mounts = vec![tmp("/dev/shm"), Mount::bind(rootfs.path(), "/a"), Mount::bind("/etc/hostname", "/b")];
    let guest = made(ContainerConfig { mounts, ..ContainerConfig::new("c", rootfs.path(), ["/bin/sh"]) });
    assert_eq!(mount_at(&guest.spec, "/dev/shm").options().as_deref(), Some(&["size=1m".to_owned()][..]));
    assert_eq!(mount_at(&guest.spec, "/b").source().as_deref(), Some(&*guest_dir(plan_id()).join("vol-1")));
    assert_eq!(guest.volumes[1].source, Path::new("/etc/hostname"));
}

fn plan_id() -> &'static ContainerId {
    static ID: std::sync::LazyLock<ContainerId> = std::sync::LazyLock::new(|| ContainerId::new("c").unwrap());
    &ID
}

#[test]
fn a_custom_spec_loses_what_speaks_of_the_host() {
    let rootfs = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    let mut bind = OciMount::default();
    bind.set_destination("/data".into())
        .set_typ(None)
        .set_source(Some(rootfs.path().into()))
        .set_options(Some(vec!["rbind".into(), "ro".into()]));
    spec.mounts_mut().as_mut().unwrap().push(bind);
    spec.linux_mut().as_mut().unwrap().set_cgroups_path(Some("/kubepods/x".into()));
    let config = ContainerConfig {
        custom_spec: Some(spec),
        root_fs: crate::config::RootFs::directory(rootfs.path()),
        id: "c".into(),
        ..ContainerConfig::default()
    };
    let guest = made(config);
    assert_eq!(guest.spec.root().as_ref().unwrap().path(), &guest_dir(plan_id()).join("rootfs"));
    assert_eq!(
        mount_at(&guest.spec, "/data").source().as_deref(),
        Some(&*guest_dir(plan_id()).join("vol-0"))
    );
    assert_eq!(
        guest.volumes,
        [SharedVolume { name: "vol-0".into(), source: rootfs.path().into(), read_only: true }]
    );
    let linux = guest.spec.linux().as_ref().unwrap();
    assert_eq!(linux.cgroups_path(), &None);
    let host = [LinuxNamespaceType::Network, LinuxNamespaceType::Pid, LinuxNamespaceType::Cgroup];
    assert!(linux.namespaces().iter().flatten().all(|namespace| !host.contains(&namespace.typ())));
}

#[test]
fn no_symbolic_link_leads_out_of_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let rootfs = dir.path().join("rootfs");
    std::fs::create_dir_all(rootfs.join("etc")).unwrap();
    std::fs::write(dir.path().join("passwd"), "eve:x:0:0::/:/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("../../passwd", rootfs.join("etc/passwd")).unwrap();
    let cmd = Cmd { user: "eve".into(), ..Cmd::new(["/bin/sh"]) };
    assert!(exec_process(&rootfs, &cmd).is_err());
    // The same link is followed as the container itself would follow it.
    std::fs::write(rootfs.join("passwd"), "eve:x:9:9::/home/eve:/bin/sh\n").unwrap();
    assert_eq!(exec_process(&rootfs, &cmd).unwrap().user().uid(), 9);
}
