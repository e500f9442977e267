//! Builds guest images from Debian's real kernel packages, fetched with apt.
//! Takes a Debian (or derived) host with package lists (`apt-get update`); downloads about 100 MB once into the target directory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use virtcontainers_guest_image::{BuildError, Builder, GuestImage, KernelSource, Role};

/// The least static x86-64 program: an ELF header, one loadable segment, and code that exits.
fn tiny_program(at: &Path) -> PathBuf {
    let code = [0xb8, 0x3c, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for field in [0x40_0078u64, 64, 0] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend([0; 4]);
    for field in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend([1u32, 5].map(u32::to_le_bytes).concat());
    let size = 120 + code.len() as u64;
    for field in [0, 0x40_0000, 0x40_0000, size, size, 0x1000] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(code);
    let path = at.join("init");
    fs::File::create(&path).unwrap().write_all(&elf).unwrap();
    path
}

fn build(package: &str, output: &Path) -> GuestImage {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-packages");
    let source = KernelSource::DebianPackage { name: package.to_owned() };
    let agent = tiny_program(output.parent().unwrap());
    match Builder::new(source, agent).output(output).cache(cache).build() {
        Ok(image) => image,
        Err(error @ (BuildError::AptMissing { .. } | BuildError::UnknownPackage { .. })) => {
            panic!(
                "{error}\nthis test takes a Debian host: run `apt-get update`, or use a debian:12 container"
            )
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_full_kernel_can_do_everything_and_builds_reproducibly() {
    let room = tempfile::tempdir().unwrap();
    let image = build("linux-image-amd64", &room.path().join("guest"));
    image.verify().unwrap();
    let manifest = image.manifest();
    assert!(Role::ALL.iter().all(|&role| image.has(role)), "{:?}", manifest.abilities);
    let package = manifest.kernel.package.as_ref().unwrap();
    assert_eq!(
        package.name,
        format!("linux-image-{}", manifest.kernel.release),
        "the metapackage is resolved"
    );
    for (role, needs) in [
        (Role::Virtio, ["virtio_pci", "virtio_mmio"].as_slice()),
        (Role::NineP, &["9pnet", "9pnet_virtio", "9p"]),
        (Role::VirtioFs, &["fuse", "virtiofs"]),
        (Role::Network, &["failover", "net_failover", "virtio_net"]),
    ] {
        let modules = manifest.abilities[&role].modules();
        let places: Vec<_> = needs.iter().map(|need| modules.iter().position(|name| name == need)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{role}: {modules:?}");
    }
    let kernel = fs::read(image.kernel()).unwrap();
    assert!(kernel.starts_with(b"\x7fELF") && kernel.len() > 16 << 20, "{} bytes", kernel.len());

    let again = build("linux-image-amd64", &room.path().join("again"));
    for name in ["vmlinux", "initrd.img", "manifest.json"] {
        let bytes = |image: &GuestImage| fs::read(image.dir().join(name)).unwrap();
        assert!(bytes(&image) == bytes(&again), "{name} differs between two builds");
    }
}

#[test]
fn the_cloud_kernel_lacks_9p_and_says_so() {
    let room = tempfile::tempdir().unwrap();
    let image = build("linux-image-cloud-amd64", &room.path().join("guest"));
    let absent: Vec<Role> = Role::ALL.into_iter().filter(|&role| !image.has(role)).collect();
    assert_eq!(absent, [Role::NineP]);
    assert!(image.manifest().kernel.release.ends_with("-cloud-amd64"));
}

#[test]
fn a_package_that_does_not_exist_is_named() {
    let room = tempfile::tempdir().unwrap();
    let source = KernelSource::DebianPackage { name: "linux-image-of-dreams".to_owned() };
    let built = Builder::new(source, tiny_program(room.path()))
        .output(room.path().join("guest"))
        .cache(room.path().join("cache"))
        .build();
    match built {
        Err(BuildError::UnknownPackage { name }) => assert_eq!(name, "linux-image-of-dreams"),
        other => panic!("{other:?}; if apt is missing: this test takes a Debian host"),
    }
    assert!(!room.path().join("guest").exists());
}
