//! Small kernels, modules and packages for tests, made from scratch.

use std::io::Write as _;

/// Segment types of the fixtures.
pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_NOTE: u32 = 4;

/// An ELF64 header for x86-64.
fn header(kind: u16, segments: u16, section_offset: u64, sections: u16) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(kind.to_le_bytes());
    elf.extend(62u16.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend(0x10_0000u64.to_le_bytes());
    elf.extend(if segments == 0 { 0u64 } else { 64 }.to_le_bytes());
    elf.extend(section_offset.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    let names = sections.saturating_sub(1);
    for field in [64, 56, segments, 64, sections, names] {
        elf.extend(field.to_le_bytes());
    }
    elf
}

/// An executable of these segments.
pub(crate) fn executable(segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut elf = header(2, segments.len() as u16, 0, 0);
    let mut offset = 64 + 56 * segments.len() as u64;
    for (kind, data) in segments {
        let size = data.len() as u64;
        elf.extend(kind.to_le_bytes());
        elf.extend(5u32.to_le_bytes());
        for field in [offset, 0x10_0000, 0x10_0000, size, size, 4] {
            elf.extend(field.to_le_bytes());
        }
        offset += size;
    }
    segments.iter().for_each(|(_, data)| elf.extend(data));
    elf
}

/// A static program, fit to be an agent.
pub(crate) fn agent() -> Vec<u8> {
    executable(&[(PT_LOAD, b"code".to_vec())])
}

/// The note of the PVH entry point.
pub(crate) fn pvh_note() -> Vec<u8> {
    let mut note = Vec::new();
    for field in [4u32, 4, 18] {
        note.extend(field.to_le_bytes());
    }
    note.extend(b"Xen\0\0\0\x10\0");
    note
}

/// A kernel with a PVH entry point that calls itself `release`. It is long enough, and dull enough, to be worth packing.
pub(crate) fn vmlinux(release: &str) -> Vec<u8> {
    let mut data = b"\xe8\x10\0\0\0".repeat(4096);
    data.extend(format!("Linux version {release} (someone@somewhere)").bytes());
    executable(&[(PT_LOAD, data), (PT_NOTE, pvh_note())])
}

/// A bzImage of boot protocol 2.15 around this payload, followed by bytes that are none of its business.
pub(crate) fn bzimage(payload: &[u8], release: Option<&str>) -> Vec<u8> {
    const SECTORS: usize = 3;
    const OFFSET: usize = 96;
    let mut image = vec![0; (SECTORS + 1) * 512 + OFFSET];
    image[0x1f1] = SECTORS as u8;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    if let Some(release) = release {
        image[0x20e..0x210].copy_from_slice(&0x200_u16.to_le_bytes());
        image[0x400..0x400 + release.len()].copy_from_slice(release.as_bytes());
        image[0x400 + release.len()] = b' ';
    }
    image[0x248..0x24c].copy_from_slice(&(OFFSET as u32).to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend(payload);
    image.extend([0xaa; 64]);
    image
}

/// A module with this `.modinfo` section.
pub(crate) fn module(modinfo: &str) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let info = 64u64;
    let names = info + modinfo.len() as u64;
    let table = names + NAMES.len() as u64;
    let mut elf = header(1, 0, table, 3);
    elf.extend(modinfo.bytes());
    elf.extend(NAMES);
    // name, type (0 none, 1 data, 3 strings), offset, size.
    let sections =
        [(0u32, 0u32, 0, 0), (1, 1, info, modinfo.len() as u64), (10, 3, names, NAMES.len() as u64)];
    for (name, kind, offset, size) in sections {
        elf.extend(name.to_le_bytes());
        elf.extend(kind.to_le_bytes());
        for field in [0u64, 0, offset, size, 0, 1, 0] {
            elf.extend(field.to_le_bytes());
        }
    }
    elf
}

/// A module of this kernel with these dependencies.
pub(crate) fn module_of(release: &str, depends: &str) -> Vec<u8> {
    module(&format!("license=GPL\0depends={depends}\0vermagic={release} SMP\0"))
}

/// All modules that the roles name, without their dependencies among each other but for the ones that matter in tests.
pub(crate) fn modules(release: &str) -> Vec<(&'static str, Vec<u8>)> {
    let all = [
        ("virtio", "virtio_ring"),
        ("virtio_ring", ""),
        ("virtio_pci", "virtio,virtio_ring"),
        ("virtio_mmio", "virtio"),
        ("vsock", ""),
        ("vmw_vsock_virtio_transport", "vsock,virtio"),
        ("virtio_console", "virtio"),
        ("fuse", ""),
        ("virtiofs", "fuse,virtio"),
        ("9pnet", ""),
        ("9pnet_virtio", "9pnet,virtio"),
        ("9p", "9pnet"),
        ("overlay", ""),
        ("virtio_net", "net_failover,virtio"),
        ("net_failover", "failover"),
        ("failover", ""),
    ];
    all.into_iter().map(|(name, depends)| (name, module_of(release, depends))).collect()
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive as dpkg-deb makes it: GNU format, paths from `./`.
pub(crate) fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("./{path}"), *data).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An ar archive.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, data) in members {
        writeln!(archive, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, data.len()).unwrap();
        archive.extend(*data);
        archive.extend(&b"\n"[..data.len() % 2]);
    }
    archive
}

/// A Debian package of these files.
pub(crate) fn deb(files: &[(&str, &[u8])]) -> Vec<u8> {
    let control = b"Package: linux-image-test\nVersion: 1.2-3\n";
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &gzip(&tarball(&[("control", control)]))),
        ("data.tar.gz", &gzip(&tarball(files))),
    ])
}
