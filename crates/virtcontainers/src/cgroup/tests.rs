//! Where groups are and what is written into their files, on hosts that are made up of directories.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxCpu, LinuxResources};
use virtcontainers_sys::cgroup::{Hierarchy, Version};
use virtcontainers_types::{MiB, SandboxId};

use super::{Cgroups, Limits, Location, plan, set_limits};
use crate::{config::SandboxConfig, sandbox::Role};

fn hierarchy(version: Version, mount: &Path, controllers: &[&str]) -> Hierarchy {
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    Hierarchy { version, mount: mount.to_owned(), controllers, own: mount.join("me") }
}

/// Version 1 beside a unified hierarchy without controllers.
fn hybrid() -> Vec<Hierarchy> {
    let v1 = |name: &str, has: &[&str]| hierarchy(Version::V1, &Path::new("/cg").join(name), has);
    vec![
        v1("cpu", &["cpu", "cpuacct"]),
        v1("cpuset", &["cpuset"]),
        v1("memory", &["memory"]),
        v1("devices", &["devices"]),
        hierarchy(Version::V2, Path::new("/cg/unified"), &[]),
    ]
}

fn unified(mount: &Path) -> Vec<Hierarchy> {
    vec![hierarchy(Version::V2, mount, &["cpuset", "cpu", "io", "memory", "pids"])]
}

fn planned(config: &SandboxConfig, hierarchies: &[Hierarchy]) -> Cgroups {
    plan(config, Path::new("/run/vc"), &SandboxId::new("web").unwrap(), hierarchies)
}

/// The directories of a role, with the sandbox's name left out.
fn dirs(cgroups: &Cgroups, role: Role) -> Vec<String> {
    let short = |dir: PathBuf| dir.to_string_lossy().replace("vc-b086803d2b3d04bb-web", "NAME");
    cgroups.of(role).into_iter().map(short).collect()
}

#[test]
fn version_1_constrains_processors_and_counts_the_rest_outside() {
    let cgroups = planned(&SandboxConfig::default(), &hybrid());
    let counted = [
        "/cg/cpu/me/virtcontainers/NAME",
        "/cg/memory/me/virtcontainers/NAME",
        "/cg/unified/virtcontainers/NAME",
    ];
    assert_eq!(dirs(&cgroups, Role::Vmm), counted);
    assert_eq!(dirs(&cgroups, Role::Netmon), counted);
    assert!(!cgroups.is_asked());

    let pods = SandboxConfig { cgroups: Some("pods".into()), ..Default::default() };
    let cgroups = planned(&pods, &hybrid());
    let machine = [
        "/cg/cpu/me/pods/NAME",
        "/cg/cpuset/me/pods/NAME",
        "/cg/memory/me/virtcontainers-overhead/NAME",
        "/cg/unified/pods/NAME",
    ];
    let helpers = [
        "/cg/cpu/me/virtcontainers-overhead/NAME",
        "/cg/cpuset/me/virtcontainers-overhead/NAME",
        "/cg/memory/me/virtcontainers-overhead/NAME",
        "/cg/unified/pods/NAME",
    ];
    assert_eq!(dirs(&cgroups, Role::Vmm), machine);
    assert_eq!(dirs(&cgroups, Role::Virtiofsd), helpers);

    let only =
        SandboxConfig { sandbox_cgroup_only: true, cgroups: Some("/pods/1".into()), ..Default::default() };
    let cgroups = planned(&only, &hybrid());
    let all = [
        "/cg/cpu/pods/1/NAME",
        "/cg/cpuset/pods/1/NAME",
        "/cg/memory/pods/1/NAME",
        "/cg/unified/pods/1/NAME",
    ];
    assert_eq!(dirs(&cgroups, Role::Vmm), all);
    assert_eq!(dirs(&cgroups, Role::Shim), all);
    assert!(cgroups.is_asked());
}

#[test]
fn version_2_has_one_group_or_one_for_the_helpers_too() {
    let top = Path::new("/cg");
    let cgroups = planned(&SandboxConfig::default(), &unified(top));
    assert_eq!(dirs(&cgroups, Role::Vmm), ["/cg/virtcontainers/NAME"]);
    assert_eq!(dirs(&cgroups, Role::Proxy), ["/cg/virtcontainers/NAME"]);
    let pods = planned(&SandboxConfig { cgroups: Some("/pods".into()), ..Default::default() }, &unified(top));
    assert_eq!(dirs(&pods, Role::Vmm), ["/cg/pods/NAME"]);
    assert_eq!(dirs(&pods, Role::Proxy), ["/cg/virtcontainers-overhead/NAME"]);
    let only = SandboxConfig { sandbox_cgroup_only: true, ..Default::default() };
    assert_eq!(dirs(&planned(&only, &unified(top)), Role::Proxy), ["/cg/virtcontainers/NAME"]);
    // A hierarchy of version 1 with controllers that are not used here changes nothing.
    let mut odd = unified(top);
    odd.push(hierarchy(Version::V1, Path::new("/cg/net_cls"), &["net_cls"]));
    assert_eq!(dirs(&planned(&only, &odd), Role::Proxy), ["/cg/virtcontainers/NAME"]);
    assert!(planned(&only, &[]).of(Role::Vmm).is_empty());
}

#[test]
fn systemd_names_are_spelled_out() {
    let systemd = |cgroups: Option<&str>| {
        let config = SandboxConfig {
            systemd_cgroup: true,
            cgroups: cgroups.map(str::to_owned),
            ..SandboxConfig::default()
        };
        dirs(&planned(&config, &unified(Path::new("/cg"))), Role::Vmm)
    };
    assert_eq!(systemd(None), ["/cg/system.slice/virtcontainers-NAME.scope"]);
    assert_eq!(systemd(Some("a-b-c.slice:box:x")), ["/cg/a.slice/a-b.slice/a-b-c.slice/box-NAME.scope"]);
    assert_eq!(systemd(Some("-.slice:box:")), ["/cg/box-NAME.scope"]);
    for wrong in
        ["/pods", "a.slice:b", "a:b:c", "a--b.slice:p:n", "../x.slice:p:n", "a.slice:p/q:n", ".slice:p:n"]
    {
        assert!(Location::parse(Some(wrong), true).is_err(), "{wrong}");
    }
    for wrong in ["", "/a/../b", "..", "a/./b", "a\nb"] {
        assert!(Location::parse(Some(wrong), false).is_err(), "{wrong}");
    }
}

fn cpu(quota: Option<i64>, period: Option<u64>, shares: Option<u64>, cpus: Option<&str>) -> LinuxResources {
    let (mut cpu, mut resources) = (LinuxCpu::default(), LinuxResources::default());
    cpu.set_quota(quota).set_period(period).set_shares(shares).set_cpus(cpus.map(str::to_owned));
    resources.set_cpu(Some(cpu));
    resources
}

/// A group with every file that a kernel would have made, as it makes them.
fn files(dir: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(dir).unwrap();
    for (name, value) in files {
        fs::write(dir.join(name), format!("{value}\n")).unwrap();
    }
}

fn contents(dir: &Path) -> BTreeMap<String, String> {
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), text.trim().to_owned())
    };
    fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap())).collect()
}

fn expect(dir: &Path, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(contents(dir), expected);
}

#[test]
fn the_files_of_version_2() {
    let top = tempfile::tempdir().unwrap();
    let config = SandboxConfig { sandbox_cgroup_only: true, memory_overhead: MiB(100), ..Default::default() };
    let cgroups = planned(&config, &unified(top.path()));
    let dir = cgroups.of(Role::Vmm).remove(0);
    let fresh = [
        ("cpu.max", "max 100000"),
        ("cpu.weight", "100"),
        ("cpuset.cpus", ""),
        ("cpuset.mems", ""),
        ("memory.max", "max"),
    ];
    files(&dir, &fresh);
    files(dir.parent().unwrap(), &[("cpuset.cpus.effective", "0-2"), ("cpuset.mems.effective", "0")]);
    let (one, two) =
        (cpu(Some(50_000), Some(50_000), Some(2048), Some("1-3")), cpu(Some(50_000), None, None, Some("0")));
    let limits = Limits::of(&config, [Some(&one), Some(&two)].into_iter());
    set_limits(&cgroups, &limits).unwrap();
    let limited = [
        ("cpu.max", "150000 100000"),
        ("cpu.weight", "118"),
        ("cpuset.cpus", "0,1,2"),
        ("cpuset.mems", ""),
        // The machine's gibibyte, and the overhead.
        ("memory.max", "1178599424"),
    ];
    expect(&dir, &limited);
    // A container without limits may use all that there is; its shares count.
    set_limits(&cgroups, &Limits::of(&config, [Some(&one), Some(&two), None].into_iter())).unwrap();
    let loose = [
        ("cpu.max", "max 100000"),
        ("cpu.weight", "157"),
        ("cpuset.cpus", ""),
        ("cpuset.mems", ""),
        ("memory.max", "1178599424"),
    ];
    expect(&dir, &loose);
}

#[test]
fn the_files_of_version_1() {
    let top = tempfile::tempdir().unwrap();
    let at = |name: &str, has: &[&str]| hierarchy(Version::V1, &top.path().join(name), has);
    let hierarchies = [at("cpu", &["cpu"]), at("cpuset", &["cpuset"]), at("memory", &["memory"])];
    let config = SandboxConfig { cgroups: Some("pod".into()), ..Default::default() };
    let cgroups = planned(&config, &hierarchies);
    let groups = cgroups.of(Role::Vmm);
    let [cpu_dir, set_dir, memory] = [0, 1, 2].map(|index: usize| groups[index].clone());
    files(&cpu_dir, &[("cpu.shares", "1024"), ("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1")]);
    files(&set_dir, &[("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]);
    files(set_dir.parent().unwrap(), &[("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]);
    files(&memory, &[("memory.limit_in_bytes", "9223372036854771712")]);
    let small = cpu(Some(1_000), Some(100_000), None, Some("1,7"));
    set_limits(&cgroups, &Limits::of(&config, [Some(&small)].into_iter())).unwrap();
    // No machine answers with a hundredth of a processor.
    let slow = [("cpu.shares", "1024"), ("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "25000")];
    expect(&cpu_dir, &slow);
    expect(&set_dir, &[("cpuset.cpus", "1"), ("cpuset.mems", "0")]);
    expect(&memory, &[("memory.limit_in_bytes", "9223372036854771712")]);
    // Processors that this host does not have are no limit.
    let absent = cpu(None, None, None, Some("8"));
    set_limits(&cgroups, &Limits::of(&config, [Some(&absent)].into_iter())).unwrap();
    expect(&set_dir, &[("cpuset.cpus", "0,1"), ("cpuset.mems", "0")]);
    let free = [("cpu.shares", "1024"), ("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1")];
    expect(&cpu_dir, &free);
}

#[test]
fn a_limit_that_cannot_be_set_is_an_error_and_only_that() {
    let top = tempfile::tempdir().unwrap();
    let config = SandboxConfig { sandbox_cgroup_only: true, ..Default::default() };
    let cgroups = planned(&config, &unified(top.path()));
    fs::create_dir_all(&cgroups.of(Role::Vmm)[0]).unwrap();
    set_limits(&cgroups, &Limits::of(&config, [None].into_iter())).unwrap();
    let quota = cpu(Some(50_000), None, None, None);
    let error = set_limits(&cgroups, &Limits::of(&config, [Some(&quota)].into_iter())).unwrap_err();
    assert!(matches!(error.cause(), crate::error::Cause::Cgroup { path, .. } if path.ends_with("cpu.max")));
}

#[test]
fn what_is_counted_is_summed() {
    let top = tempfile::tempdir().unwrap();
    let pods = SandboxConfig { cgroups: Some("pods".into()), ..Default::default() };
    let cgroups = planned(&pods, &unified(top.path()));
    let (machine, helpers) = (cgroups.of(Role::Vmm).remove(0), cgroups.of(Role::Proxy).remove(0));
    let cpu = "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nnr_throttled 4\nthrottled_usec 7";
    let memory = "anon 1\nfile 10\nkernel 3";
    files(
        &machine,
        &[
            ("cpu.stat", cpu),
            ("memory.current", "4096"),
            ("memory.max", "8192"),
            ("memory.stat", memory),
            ("pids.current", "3"),
            ("pids.max", "max"),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"),
        ],
    );
    files(
        &helpers,
        &[("cpu.stat", cpu), ("memory.current", "100"), ("memory.max", "max"), ("pids.current", "1")],
    );
    let (stats, read) = cgroups.stats();
    assert_eq!(read, super::Read { cpu: true, memory: true, pids: true });
    assert_eq!(stats.cpu_stats.cpu_usage.total_usage, 10_000);
    assert_eq!(stats.cpu_stats.throttling_data.throttled_time, 14_000);
    assert_eq!((stats.memory_stats.usage.usage, stats.memory_stats.cache), (4196, 10));
    assert_eq!(stats.memory_stats.usage.limit, 8192);
    assert_eq!(stats.pids_stats.current, 4);
    assert_eq!(stats.blkio_stats.io_service_bytes_recursive.len(), 2);
}
