use std::{fs, path::Path};

use ttrpc::Code;

use crate::service::hotplug::{Wanted, cpus_of_list, probe_in};

/// A sysfs with processors 0 to 3 of which 0 and 1 are online, and two blocks of memory of which one is.
fn system() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file("cpu/online", "0-1\n");
    file("cpu/possible", "0-3\n");
    file("cpu/cpu0/topology", "");
    file("cpu/cpu1/online", "1\n");
    file("cpu/cpu2/online", "0\n");
    file("cpu/cpu3/online", "0\n");
    file("cpu/cpufreq/online", "0\n");
    file("memory/block_size_bytes", "8000000\n");
    file("memory/memory0/online", "1\n");
    file("memory/memory1/online", "0\n");
    root
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn as_many_processors_go_online_as_are_missing_and_memory_only_if_wanted() {
    let system = system();
    let wanted = Wanted { root: system.path().into(), cpus: 3, memory: false };
    let missing = wanted.pass().unwrap().expect("the file of those online does not change by itself");
    assert!(missing.contains("2 of 3"), "{missing}");
    assert_eq!(read(system.path(), "cpu/cpu2/online"), "1");
    assert_eq!(read(system.path(), "cpu/cpu3/online"), "0\n", "one was enough");
    assert_eq!(read(system.path(), "cpu/cpufreq/online"), "0\n", "this is no processor");
    assert_eq!(read(system.path(), "memory/memory1/online"), "0\n");

    fs::write(system.path().join("cpu/online"), "0-2\n").unwrap();
    let wanted = Wanted { memory: true, ..wanted };
    assert_eq!(wanted.pass().unwrap(), None);
    assert_eq!(read(system.path(), "memory/memory1/online"), "1");
    let none = Wanted { cpus: 0, ..wanted };
    assert_eq!(none.pass().unwrap(), None);
}

#[test]
fn more_processors_than_possible_are_refused() {
    let system = system();
    let wanted = |cpus| Wanted { root: system.path().into(), cpus, memory: false };
    wanted(4).check().unwrap();
    assert_eq!(wanted(5).check().unwrap_err().code(), Code::INVALID_ARGUMENT);
}

#[test]
fn lists_of_processors_are_counted() {
    for (list, count) in [("0", 1), ("0-3\n", 4), ("0-1,4,6-7", 5), ("", 0), ("3-1", 0), ("x", 0)] {
        assert_eq!(cpus_of_list(list), count, "{list}");
    }
}

#[test]
fn memory_is_probed_for_where_blocks_begin() {
    let system = system();
    let memory = system.path().join("memory");
    assert_eq!(probe_in(&memory, &[0x800_0000]).unwrap_err().code(), Code::UNIMPLEMENTED);
    fs::write(memory.join("probe"), "").unwrap();
    probe_in(&memory, &[0x800_0000, 0x1000_0000]).unwrap();
    assert_eq!(read(&memory, "probe"), "0x10000000");
    assert_eq!(probe_in(&memory, &[0x800_0001]).unwrap_err().code(), Code::INVALID_ARGUMENT);
    assert_eq!(read(&memory, "probe"), "0x10000000", "nothing is written of a request with an odd address");
    assert_eq!(probe_in(&memory, &[0; 4097]).unwrap_err().code(), Code::RESOURCE_EXHAUSTED);
}
