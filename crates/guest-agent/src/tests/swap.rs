use std::{fs, path::Path};

use crate::service::swap::{block_device, check};

#[test]
fn a_device_is_found_by_the_slots_on_the_way_to_it() {
    let complex = tempfile::tempdir().unwrap();
    let at = |path: &str| fs::create_dir_all(complex.path().join(path)).unwrap();
    at("0000:00:02.0/virtio0/block/vda");
    at("0000:00:02.1/virtio5/block/vdx");
    at("0000:00:0a.0/0000:01:03.0/virtio1/block/vdb");
    at("0000:00:0a.0/0000:01:04.0/virtio2/net/eth0");
    let find = |path: &[u32]| block_device(complex.path(), path);
    assert_eq!(find(&[2]).as_deref(), Some(Path::new("/dev/vda")));
    assert_eq!(find(&[10, 3]).as_deref(), Some(Path::new("/dev/vdb")));
    for absent in [&[3][..], &[10], &[10, 4], &[10, 3, 1]] {
        assert_eq!(find(absent), None, "{absent:?}");
    }
}

#[test]
fn paths_that_no_bus_can_have_are_refused() {
    check(&[31, 0]).unwrap();
    for path in [&[][..], &[32], &[0; 33]] {
        assert_eq!(check(path).unwrap_err().code(), ttrpc::Code::INVALID_ARGUMENT, "{path:?}");
    }
}
