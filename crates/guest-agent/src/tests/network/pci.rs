use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;
use virtcontainers_types::net::PciPath;

use crate::network::pci;

/// A sysfs with a network device on the root bus, one behind two bridges, a disk, and another function of a device.
fn devices() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (interface, index) in [
        ("0000:00:03.0/virtio1/net/eth0", "2"),
        ("0000:00:02.0/0000:01:00.0/0000:02:1f.0/virtio4/net/eth1", "11"),
        ("0000:00:05.0/net/enp5", "5"),
        ("0000:00:06.1/net/other", "6"),
    ] {
        let directory = root.path().join("pci0000:00").join(interface);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("ifindex"), format!("{index}\n")).unwrap();
    }
    fs::create_dir_all(root.path().join("pci0000:00/0000:00:04.0/virtio2/block/vda")).unwrap();
    fs::create_dir_all(root.path().join("pci0000:00/0000:00:07.0/virtio5/net")).unwrap();
    fs::write(root.path().join("pci0000:00/0000:00:07.0/config"), "").unwrap();
    root
}

fn interface(devices: &Path, path: &str) -> Option<u32> {
    pci::interface(devices, &path.parse::<PciPath>().unwrap()).unwrap()
}

#[test]
fn ways_through_bridges_lead_to_interfaces() {
    let devices = devices();
    for (path, index) in [
        ("03", Some(2)),
        ("02/00/1f", Some(11)),
        ("05", Some(5)),
        ("04", None),
        ("07", None),
        ("06", None),
        ("02", None),
        ("02/00", None),
        ("02/01", None),
        ("03/00", None),
        ("09", None),
    ] {
        assert_eq!(interface(devices.path(), path), index, "{path}");
    }
    assert_eq!(interface(&devices.path().join("absent"), "03"), None);
}

#[test]
fn the_way_to_an_interface_is_found_back() {
    let devices = devices();
    let class = tempfile::tempdir().unwrap();
    let link = |name: &str, device: &str| {
        symlink(devices.path().join(device), class.path().join(name)).unwrap();
    };
    link("eth1", "pci0000:00/0000:00:02.0/0000:01:00.0/0000:02:1f.0/virtio4/net/eth1");
    fs::create_dir_all(devices.path().join("virtual/net/lo")).unwrap();
    link("lo", "virtual/net/lo");
    let path = |name: &str| pci::path_of(class.path(), name).map(|path| path.to_string());
    assert_eq!(path("eth1").as_deref(), Some("02/00/1f"));
    assert_eq!((path("lo"), path("absent")), (None, None));
}
