//! Specs that cannot be built, each with the reason.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::PathBuf};

use virtcontainers_hypervisor::{
    AgentChannel, Hypervisor as _, InvalidSpec, Share, VmError, VmSpec, qemu::Qemu,
};
use virtcontainers_types::{KernelParam, MachineType, MiB, VcpuCount};

mod support;
use support::spec;

fn refused(change: impl FnOnce(&mut VmSpec)) -> InvalidSpec {
    refused_on(MachineType::Q35, change)
}

fn refused_on(machine: MachineType, change: impl FnOnce(&mut VmSpec)) -> InvalidSpec {
    let mut spec = spec(machine);
    change(&mut spec);
    match Qemu::new().plan(&spec) {
        Err(VmError::Invalid(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn kernel_parameters_that_would_become_others() {
    for (key, value) in
        [("a", "b c"), ("a b", ""), ("", "x"), ("a=b", "c"), ("a", "\"b"), ("a", "b\n"), ("a\0", "")]
    {
        let why = refused(|spec| spec.boot.params = vec![KernelParam::new(key, value)]);
        assert!(matches!(why, InvalidSpec::KernelParam { .. }), "{why:?}");
    }
}

#[test]
fn paths_that_no_argument_carries() {
    for path in [PathBuf::new(), PathBuf::from("/a\0b"), PathBuf::from(OsStr::from_bytes(b"/\xff"))] {
        let why = refused(|spec| spec.boot.kernel = path);
        assert!(matches!(why, InvalidSpec::Text { what: "kernel path", .. }), "{why:?}");
    }
    for name in ["", "../x.sock", "a/b", "..", "a\0"] {
        let why = refused(|spec| spec.channel = AgentChannel::VirtioSerial { socket: name.into() });
        assert!(matches!(why, InvalidSpec::Text { what: "agent socket", .. }), "{why:?}");
    }
}

#[test]
fn shares() {
    let share = |tag: &str| Share::NineP { tag: tag.into(), path: "/x".into() };
    assert_eq!(
        refused(|spec| spec.shares = vec![share("a"), share("a")]),
        InvalidSpec::DuplicateTag("a".into())
    );
    let why = refused(|spec| spec.shares = vec![share(&"t".repeat(32))]);
    assert!(matches!(why, InvalidSpec::Text { what: "mount tag", .. }), "{why:?}");
}

#[test]
fn devices_that_map_memory_need_it_shared() {
    let why = refused(|spec| {
        spec.shares = vec![Share::VirtioFs { tag: "t".into(), socket: "s".into(), cache: MiB(0) }];
    });
    assert_eq!(why, InvalidSpec::MemoryNotShared { device: "virtio-fs" });
    let why = refused(|spec| spec.channel = AgentChannel::VhostUserVsock { socket: "s".into() });
    assert_eq!(why, InvalidSpec::MemoryNotShared { device: "vhost-user-vsock" });
}

#[test]
fn sizes_and_counts() {
    assert_eq!(refused(|spec| spec.memory.size = MiB(0)), InvalidSpec::NoMemory);
    assert_eq!(refused(|spec| spec.channel = AgentChannel::Vsock { cid: 2 }), InvalidSpec::ReservedCid(2));
    let two = VcpuCount::new(2).expect("not zero");
    let why = refused(|spec| spec.vcpus = two);
    assert_eq!(why, InvalidSpec::TooManyVcpus { vcpus: two, max: VcpuCount::ONE });
}

#[test]
fn what_a_machine_needs_or_lacks() {
    let microvm = MachineType::Microvm;
    let why = refused_on(microvm, |spec| spec.tsc_khz = None);
    assert!(matches!(why, InvalidSpec::MachineNeeds { machine: MachineType::Microvm, .. }), "{why:?}");
    let why = refused_on(microvm, |spec| spec.max_vcpus = VcpuCount::new(2).expect("not zero"));
    assert!(matches!(why, InvalidSpec::MachineLacks { machine: MachineType::Microvm, .. }), "{why:?}");
    let why = refused_on(MachineType::S390CcwVirtio, |spec| {
        spec.memory.shared = true;
        spec.channel = AgentChannel::VhostUserVsock { socket: "s".into() };
    });
    assert!(matches!(why, InvalidSpec::MachineLacks { machine: MachineType::S390CcwVirtio, .. }), "{why:?}");
}

#[test]
fn vmm_parameters_that_are_none() {
    for (key, value) in [("", "x"), ("--", ""), ("a b", ""), ("a", "b\0")] {
        let why = refused(|spec| spec.extra_params = vec![KernelParam::new(key, value)]);
        assert!(matches!(why, InvalidSpec::ExtraParam { .. }), "{why:?}");
    }
}
