use std::fs;

use super::*;
use crate::fixture::{ar, deb, gzip, module_of, modules, tarball};

const RELEASE: &str = "6.1.0-9-test";

/// Unpacks a package of these bytes.
fn unpack_bytes(bytes: &[u8]) -> (tempfile::TempDir, Result<(), BuildError>) {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("test.deb");
    fs::write(&path, bytes).unwrap();
    let into = room.path().join("unpacked");
    fs::create_dir(&into).unwrap();
    let result = unpack(&[path], &into, &mut ());
    (room, result)
}

fn problem(bytes: &[u8]) -> DebError {
    match unpack_bytes(bytes).1 {
        Err(BuildError::Deb { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn takes_kernel_configuration_and_the_modules_that_matter() {
    let mut files = vec![
        ("boot/System.map-6.1".to_owned(), b"map".to_vec()),
        (format!("boot/config-{RELEASE}"), b"CONFIG_X=y\n".to_vec()),
        (format!("boot/vmlinuz-{RELEASE}"), b"kernel".to_vec()),
        (format!("lib/modules/{RELEASE}/modules.builtin"), b"kernel/fs/overlay.ko\n".to_vec()),
        (format!("lib/modules/{RELEASE}/kernel/sound.ko"), b"not even a module".to_vec()),
    ];
    for (name, bytes) in modules(RELEASE) {
        files.push((format!("lib/modules/{RELEASE}/kernel/{name}.ko.gz"), gzip(&bytes)));
    }
    let files: Vec<_> = files.iter().map(|(path, data)| (path.as_str(), data.as_slice())).collect();
    let (room, result) = unpack_bytes(&deb(&files));
    result.unwrap();
    let at = room.path().join("unpacked");
    assert_eq!(fs::read(at.join(KERNEL)).unwrap(), b"kernel");
    assert_eq!(fs::read(at.join(CONFIG)).unwrap(), b"CONFIG_X=y\n");
    let package: Option<Package> = serde_json::from_slice(&fs::read(at.join(PACKAGE)).unwrap()).unwrap();
    let expected = Package { name: "linux-image-test".to_owned(), version: "1.2-3".to_owned() };
    assert_eq!(package, Some(expected));
    let mut kept: Vec<_> =
        fs::read_dir(at.join(MODULES)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    kept.sort();
    // virtio_ring is in no role: it came as a dependency, and had not passed yet.
    assert_eq!(kept.len(), modules(RELEASE).len() + 1, "{kept:?}");
    assert!(kept.contains(&"virtio_ring.ko.gz".into()) && !kept.contains(&"sound.ko".into()), "{kept:?}");
}

#[test]
fn a_dependency_that_had_passed_is_fetched_in_another_pass() {
    let (early, late) = (module_of(RELEASE, ""), module_of(RELEASE, "aaa"));
    let files: [(&str, &[u8]); 3] = [
        ("boot/vmlinuz-6", b"kernel"),
        ("usr/lib/modules/6/kernel/aaa.ko", &early),
        ("usr/lib/modules/6/kernel/virtiofs.ko", &late),
    ];
    let (room, result) = unpack_bytes(&deb(&files));
    result.unwrap();
    assert!(room.path().join("unpacked/modules/aaa.ko").is_file());
}

#[test]
fn kernel_and_modules_may_be_in_packages_of_their_own() {
    let room = tempfile::tempdir().unwrap();
    let virtio = module_of(RELEASE, "");
    let debs = [
        ("image.deb", deb(&[("boot/vmlinuz-6", b"kernel")])),
        ("modules.deb", deb(&[("lib/modules/6/kernel/virtio.ko", &virtio)])),
    ];
    let paths = debs.map(|(name, bytes)| {
        let path = room.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    });
    let into = room.path().join("unpacked");
    fs::create_dir(&into).unwrap();
    unpack(&paths, &into, &mut ()).unwrap();
    assert!(into.join("vmlinuz").is_file() && into.join("modules/virtio.ko").is_file());
}

#[test]
fn a_path_in_a_package_leads_nowhere_else() {
    let virtio = module_of(RELEASE, "");
    let long = format!("lib/modules/6/{}/virtio.ko", "deep/".repeat(40));
    let mut files: Vec<(&str, &[u8])> = vec![("boot/vmlinuz-6", b"kernel"), (&long, &virtio)];
    files.push(("lib/modules/6/kernel/a\\..\\virtio_pci.ko", &virtio));
    let (room, result) = unpack_bytes(&deb(&files));
    result.unwrap();
    assert!(room.path().join("unpacked/modules/virtio.ko").is_file());
    let mut outside: Vec<_> =
        fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    outside.sort();
    assert_eq!(outside, ["test.deb", "unpacked"]);
}

#[test]
fn what_is_no_kernel_package_is_named() {
    assert!(matches!(problem(b"#!/bin/sh\nexit\n"), DebError::NotADeb));
    assert!(matches!(problem(&deb(&[("usr/bin/true", b"")])), DebError::NoKernel));
    assert!(matches!(problem(&ar(&[("debian-binary", b"2.0\n")])), DebError::NoMember("data.tar")));
    let bad_module: [(&str, &[u8]); 2] = [("boot/vmlinuz-6", b"k"), ("lib/modules/6/virtio.ko", b"text")];
    assert!(matches!(problem(&deb(&bad_module)), DebError::Module(ModuleError::NotAModule(_))));
}

#[test]
fn a_package_cut_short_anywhere_is_an_error() {
    let whole = deb(&[("boot/vmlinuz-6", &[7; 3000])]);
    for length in (0..whole.len() - 16).step_by(5) {
        let (_room, result) = unpack_bytes(&whole[..length]);
        assert!(result.is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn hostile_sizes_are_refused() {
    let mut huge_member = deb(&[("boot/vmlinuz-6", b"k")]);
    huge_member[8 + 48..8 + 58].copy_from_slice(b"9999999999");
    assert!(matches!(problem(&huge_member), DebError::Damaged(_)));
    let mut long_name = tar::Header::new_gnu();
    long_name.set_entry_type(tar::EntryType::GNULongName);
    long_name.set_size(1 << 30);
    long_name.set_cksum();
    let mut data = long_name.as_bytes().to_vec();
    data.resize(1 << 20, b'x');
    let bomb = ar(&[("debian-binary", b"2.0\n"), ("data.tar.gz", &gzip(&data))]);
    assert!(matches!(problem(&bomb), DebError::TooLarge { limit: MAX_PATH, .. }));
    let control = ar(&[("data.tar", &tarball(&[("boot/vmlinuz-6", b"k")]))]);
    assert!(matches!(problem(&control), DebError::NoMember("control.tar")));
}
