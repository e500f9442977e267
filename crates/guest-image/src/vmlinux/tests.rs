use std::io::Write as _;

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use super::*;
use crate::fixture::{PT_LOAD, bzimage, executable, gzip, vmlinux};

const RELEASE: &str = "6.1.0-9-test";

/// With the unpacked size behind it, as the kernel's build does for all but gzip.
fn with_size(mut packed: Vec<u8>, data: &[u8]) -> Vec<u8> {
    packed.extend((data.len() as u32).to_le_bytes());
    packed
}

fn lzma_family(stream: Stream, data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz_with_bcj(data: &[u8]) -> Vec<u8> {
    let mut filters = Filters::new();
    filters.x86().lzma2(&LzmaOptions::new_preset(6).unwrap());
    lzma_family(Stream::new_stream_encoder(&filters, Check::Crc32).unwrap(), data)
}

fn lzma(data: &[u8]) -> Vec<u8> {
    lzma_family(Stream::new_lzma_encoder(&LzmaOptions::new_preset(6).unwrap()).unwrap(), data)
}

fn lz4_legacy(data: &[u8]) -> Vec<u8> {
    let mut packed = 0x184c_2102_u32.to_le_bytes().to_vec();
    for block in data.chunks(8 << 20) {
        let block = lz4_flex::block::compress(block);
        packed.extend((block.len() as u32).to_le_bytes());
        packed.extend(block);
    }
    packed
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn every_compression_of_kernels_unpacks_to_the_same_elf() {
    let elf = vmlinux(RELEASE);
    let payloads = [
        ("raw", elf.clone()),
        ("gzip", gzip(&elf)),
        ("xz", with_size(xz_with_bcj(&elf), &elf)),
        ("lzma", with_size(lzma(&elf), &elf)),
        ("lz4", with_size(lz4_legacy(&elf), &elf)),
        ("zstd", with_size(zstd(&elf), &elf)),
    ];
    for (name, payload) in payloads {
        let kernel = Vmlinux::from_image(bzimage(&payload, Some(RELEASE)));
        let kernel = kernel.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(kernel.elf == elf, "{name}: other bytes");
        assert_eq!(kernel.release, RELEASE, "{name}");
    }
}

#[test]
fn an_lz4_payload_of_several_blocks_unpacks() {
    let data: Vec<u8> = (0..20u32 << 20).map(|at| (at / 977) as u8).collect();
    let packed = with_size(lz4_legacy(&data), &data);
    let unpacked = read_bounded(Codec::Lz4.reader(packed.as_slice()).unwrap(), 1 << 30).unwrap();
    assert!(unpacked == data);
}

#[test]
fn a_vmlinux_is_taken_as_it_is_and_its_banner_read() {
    let kernel = Vmlinux::from_image(vmlinux(RELEASE)).unwrap();
    assert_eq!((kernel.release.as_str(), kernel.elf), (RELEASE, vmlinux(RELEASE)));
    let packed = Vmlinux::from_image(gzip(&vmlinux(RELEASE))).unwrap();
    assert_eq!(packed.elf, vmlinux(RELEASE));
}

#[test]
fn a_release_that_would_leave_its_directory_is_not_believed() {
    assert!(matches!(Vmlinux::from_image(vmlinux("../../etc")), Err(KernelError::NoRelease)));
    assert!(matches!(Vmlinux::from_image(vmlinux("6/../../etc")), Err(KernelError::NoRelease)));
    let named = bzimage(&vmlinux(RELEASE), Some("6/../.."));
    assert!(matches!(Vmlinux::from_image(named), Err(KernelError::NoRelease)));
}

#[test]
fn a_kernel_without_pvh_is_refused() {
    let elf = executable(&[(PT_LOAD, b"Linux version 6.1 (".to_vec())]);
    assert!(matches!(Vmlinux::from_image(elf), Err(KernelError::NoPvh)));
}

#[test]
fn a_kernel_of_another_machine_is_refused() {
    let mut elf = vmlinux(RELEASE);
    elf[18] = 183;
    assert!(matches!(Vmlinux::from_image(elf), Err(KernelError::Machine { machine: 183 })));
}

#[test]
fn what_is_no_kernel_is_refused() {
    assert!(matches!(Vmlinux::from_image(b"#!/bin/sh\n".to_vec()), Err(KernelError::Unrecognized)));
    assert!(matches!(Vmlinux::from_image(Vec::new()), Err(KernelError::Unrecognized)));
    let unknown = Vmlinux::from_image(bzimage(b"BZh91AY", None));
    assert!(matches!(unknown, Err(KernelError::UnknownCompression { magic }) if magic == b"BZh91A"));
    let no_elf = Vmlinux::from_image(bzimage(&gzip(b"no kernel"), None));
    assert!(matches!(no_elf, Err(KernelError::Elf(_))));
    let mut old = bzimage(&vmlinux(RELEASE), None);
    old[0x206..0x208].copy_from_slice(&0x0207_u16.to_le_bytes());
    assert!(matches!(Vmlinux::from_image(old), Err(KernelError::OldProtocol { major: 2, minor: 7 })));
}

#[test]
fn a_kernel_cut_short_anywhere_is_an_error() {
    let elf = vmlinux(RELEASE);
    for payload in [gzip(&elf), xz_with_bcj(&elf), lz4_legacy(&elf), zstd(&elf)] {
        let image = bzimage(&payload, Some(RELEASE));
        // The fixture's last 64 bytes are not the kernel's.
        for length in (0..image.len() - 64).step_by(17) {
            assert!(Vmlinux::from_image(image[..length].to_vec()).is_err(), "{length} bytes");
        }
    }
}

#[test]
fn a_damaged_kernel_never_panics() {
    let elf = vmlinux(RELEASE);
    for payload in [elf.clone(), gzip(&elf), xz_with_bcj(&elf), lz4_legacy(&elf), zstd(&elf)] {
        let image = bzimage(&payload, Some(RELEASE));
        // Setup sectors, magic to kernel_version, payload offset and length; then the payload's own header.
        for at in (0x1f1..0x1f2).chain(0x202..0x210).chain(0x248..0x250).chain(2144..2144 + 32) {
            let mut damaged = image.clone();
            if let Some(byte) = damaged.get_mut(at) {
                *byte = !*byte;
            }
            drop(Vmlinux::from_image(damaged));
        }
    }
}

#[test]
fn what_unpacks_to_more_than_the_limit_is_refused() {
    let bomb = gzip(&vec![0; 1 << 20]);
    let error = read_bounded(Codec::Gzip.reader(bomb.as_slice()).unwrap(), 1 << 10).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
}
