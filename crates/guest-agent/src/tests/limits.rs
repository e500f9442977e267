use std::{fs, path::Path};

use virtcontainers_agent_protocol::{
    api::oci::{
        LinuxBlockIO, LinuxCPU, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxResources,
        LinuxThrottleDevice,
    },
    oci,
};

use crate::{
    container::{cgroup::Cgroup, limits, update},
    error::CallError,
};

/// A group whose files are plain files with the kernel's texts in them.
fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
    let hierarchy = tempfile::tempdir().unwrap();
    let group = Cgroup::at(hierarchy.path(), "c");
    fs::create_dir(group.directory()).unwrap();
    for (file, text) in files {
        fs::write(group.directory().join(file), text).unwrap();
    }
    (hierarchy, group)
}

fn values(resources: LinuxResources, group: &Cgroup) -> Result<Vec<(String, String)>, CallError> {
    let resources = oci::resources_from_message(&resources)?;
    let limits = limits::of(&resources, group)?;
    Ok(limits.into_iter().map(|limit| (limit.file, limit.value)).collect())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect()
}

fn cpu(cpu: LinuxCPU) -> LinuxResources {
    LinuxResources { CPU: Some(cpu).into(), ..Default::default() }
}

fn memory(memory: LinuxMemory) -> LinuxResources {
    LinuxResources { Memory: Some(memory).into(), ..Default::default() }
}

#[test]
fn shares_become_weights_and_what_is_not_said_of_the_quota_stays() {
    let (_kept, group) = group(&[("cpu.max", "50000 200000\n")]);
    for (shares, weight) in [(2, "1"), (1024, "39"), (262_144, "10000")] {
        let values = values(cpu(LinuxCPU { Shares: shares, ..Default::default() }), &group).unwrap();
        assert_eq!(values, pairs(&[("cpu.weight", weight)]));
    }
    let quota = values(cpu(LinuxCPU { Quota: 20_000, ..Default::default() }), &group).unwrap();
    assert_eq!(quota, pairs(&[("cpu.max", "20000 200000")]));
    let period = values(cpu(LinuxCPU { Period: 100_000, ..Default::default() }), &group).unwrap();
    assert_eq!(period, pairs(&[("cpu.max", "50000 100000")]));
    let none =
        values(cpu(LinuxCPU { Quota: -1, Cpus: "0-1,3".into(), ..Default::default() }), &group).unwrap();
    assert_eq!(none, pairs(&[("cpu.max", "max 200000"), ("cpuset.cpus", "0-1,3")]));
}

#[test]
fn swap_is_what_is_allowed_above_the_memory() {
    let (_kept, group) = group(&[("memory.max", "1000\n")]);
    let both = LinuxMemory { Limit: 4096, Swap: 10_000, Reservation: 100, ..Default::default() };
    let expected = [("memory.max", "4096"), ("memory.swap.max", "5904"), ("memory.low", "100")];
    assert_eq!(values(memory(both), &group).unwrap(), pairs(&expected));
    let swap = LinuxMemory { Swap: 1500, ..Default::default() };
    assert_eq!(values(memory(swap), &group).unwrap(), pairs(&[("memory.swap.max", "500")]));
    let none = LinuxMemory { Limit: -1, ..Default::default() };
    let expected = [("memory.max", "max"), ("memory.swap.max", "max")];
    assert_eq!(values(memory(none), &group).unwrap(), pairs(&expected));
    let small = LinuxMemory { Swap: 999, ..Default::default() };
    assert!(matches!(values(memory(small), &group), Err(CallError::Invalid { .. })));
}

#[test]
fn devices_pids_and_huge_pages_have_their_files() {
    let (_kept, group) = group(&[]);
    let device = LinuxThrottleDevice { Major: 8, Minor: 16, Rate: 1_000_000, ..Default::default() };
    let io = LinuxBlockIO { Weight: 1000, ThrottleReadBpsDevice: vec![device], ..Default::default() };
    let page = LinuxHugepageLimit { Pagesize: "2MB".into(), Limit: 4_194_304, ..Default::default() };
    let resources = LinuxResources {
        Pids: Some(LinuxPids { Limit: 7, ..Default::default() }).into(),
        BlockIO: Some(io).into(),
        HugepageLimits: vec![page],
        ..Default::default()
    };
    let expected = [
        ("pids.max", "7"),
        ("io.weight", "default 10000"),
        ("io.max", "8:16 rbps=1000000"),
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
    ];
    assert_eq!(values(resources, &group).unwrap(), pairs(&expected));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let (_kept, group) = group(&[]);
    for shares in [1, 262_145] {
        let refused = values(cpu(LinuxCPU { Shares: shares, ..Default::default() }), &group);
        assert!(matches!(refused, Err(CallError::Invalid { .. })), "{refused:?}");
    }
    for cpus in ["../x", "a", "1 2"] {
        let refused = values(cpu(LinuxCPU { Cpus: cpus.into(), ..Default::default() }), &group);
        assert!(matches!(refused, Err(CallError::Invalid { .. })), "{refused:?}");
    }
    let page = LinuxHugepageLimit { Pagesize: "../2MB".into(), Limit: 1, ..Default::default() };
    let refused = values(LinuxResources { HugepageLimits: vec![page], ..Default::default() }, &group);
    assert!(matches!(refused, Err(CallError::Invalid { .. })), "{refused:?}");
    for unknown in [
        cpu(LinuxCPU { RealtimeRuntime: 5, ..Default::default() }),
        memory(LinuxMemory { Swappiness: 5, ..Default::default() }),
        memory(LinuxMemory { DisableOOMKiller: true, ..Default::default() }),
    ] {
        let refused = values(unknown, &group);
        assert!(matches!(refused, Err(CallError::NotBuilt(_))), "{refused:?}");
    }
}

#[test]
fn files_of_controllers_can_be_named_and_nothing_else() {
    let (_kept, group) = group(&[]);
    let unified = |file: &str| {
        let mut resources = oci_spec::runtime::LinuxResources::default();
        resources.set_unified(Some([(file.to_owned(), "1".to_owned())].into()));
        limits::of(&resources, &group)
    };
    assert_eq!(unified("memory.high").unwrap()[0].file, "memory.high");
    for file in ["cgroup.kill", "../memory.high", "memory", ".x", "a/b.c"] {
        assert!(matches!(unified(file), Err(CallError::Invalid { .. })), "{file}");
    }
}

fn text(group: &Cgroup, file: &str) -> String {
    fs::read_to_string(group.directory().join(file)).unwrap()
}

/// Makes a file that can be read and not written: a directory's link would not do, root may write anything.
fn unwritable(path: &Path) {
    std::os::unix::fs::symlink("/proc/version", path).unwrap();
}

#[test]
fn a_limit_that_fails_takes_the_earlier_ones_back() {
    let (_kept, group) = group(&[("pids.max", "max"), ("io.max", "8:0 rbps=5 wbps=max riops=max wiops=max")]);
    unwritable(&group.directory().join("hugetlb.2MB.max"));
    let device = |minor| LinuxThrottleDevice { Major: 8, Minor: minor, Rate: 9, ..Default::default() };
    let io = LinuxBlockIO { ThrottleReadBpsDevice: vec![device(0)], ..Default::default() };
    let page = LinuxHugepageLimit { Pagesize: "2MB".into(), Limit: 1, ..Default::default() };
    let resources = LinuxResources {
        Pids: Some(LinuxPids { Limit: 7, ..Default::default() }).into(),
        BlockIO: Some(io).into(),
        HugepageLimits: vec![page],
        ..Default::default()
    };
    let resources = oci::resources_from_message(&resources).unwrap();
    let limits = limits::of(&resources, &group).unwrap();
    let error = update::apply(&group, &limits).unwrap_err();
    let CallError::Limit(error) = &error else { panic!("{error:?}") };
    assert_eq!((error.value.as_str(), error.changed.len()), ("1", 0));
    assert!(error.file.ends_with("c/hugetlb.2MB.max"));
    // A plain file keeps the tail of a longer text; the kernel's do not.
    assert!(text(&group, "pids.max").starts_with("max"));
    assert!(text(&group, "io.max").starts_with("8:0 rbps=5 wbps=max riops=max wiops=max"));
}

#[test]
fn a_limit_without_its_controller_fails_unless_it_is_none() {
    let (_kept, group) = group(&[]);
    let limit = |limit| LinuxResources {
        Memory: Some(LinuxMemory { Limit: limit, Swap: -1, ..Default::default() }).into(),
        ..Default::default()
    };
    let resources = oci::resources_from_message(&limit(5)).unwrap();
    let error = update::apply(&group, &limits::of(&resources, &group).unwrap()).unwrap_err();
    assert_eq!(error.code(), ttrpc::Code::FAILED_PRECONDITION, "{error}");
    fs::write(group.directory().join("memory.max"), "max").unwrap();
    update::apply(&group, &limits::of(&resources, &group).unwrap()).expect("no swap, no limit of it");
    assert_eq!(fs::read_to_string(group.directory().join("memory.max")).unwrap(), "5ax");
}
