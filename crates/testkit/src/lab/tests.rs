use std::path::Path;

use super::{Lab, name_of};

fn name<F: FnOnce()>(_: F) -> String {
    name_of::<F>()
}

#[test]
fn a_test_is_found_by_its_name() {
    let here = name(|| ());
    assert_eq!(here, std::thread::current().name().unwrap());
}

/// The lab comes up with what a host has, does the body there, and tells when the body fails.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_is_a_host() {
    Lab::new().run(|| {
        for node in ["kvm", "vhost-net", "vhost-vsock", "vfio/vfio", "net/tun", "fuse"] {
            assert!(Path::new("/dev").join(node).exists(), "{node}");
        }
        let groups = std::fs::read_dir("/sys/kernel/iommu_groups").unwrap().count();
        assert!(groups > 0, "no IOMMU");
    });
}

#[test]
#[ignore = "in the lab: make lab-test"]
#[should_panic(expected = "exit status: 101")]
fn lab_tells_of_a_failure() {
    Lab::new().run(|| panic!("as it should"));
}
