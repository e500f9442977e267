//! Specs that cannot be built, each with the reason.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::PathBuf};

use virtcontainers_hypervisor::{
    AgentChannel, Hypervisor as _, InvalidSpec, Nic, NicBackend, Share, VmError, VmSpec, qemu::Qemu,
};
use virtcontainers_types::{KernelParam, MachineType, MiB, VcpuCount};

mod support;
use support::{nic, spec};

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

#[test]
fn network_interfaces_that_cannot_be() {
    let changes: [fn(&mut Nic); 10] = [
        |nic| nic.id = String::new(),
        |nic| nic.id = "0net".into(),
        |nic| nic.id = "a,b".into(),
        |nic| nic.id = "n".repeat(33),
        |nic| nic.mac = "01:00:00:00:00:01".parse().expect("an address, of a group"),
        |nic| nic.mtu = Some(67),
        |nic| nic.mtu = Some(65536),
        |nic| nic.queues = 0,
        |nic| nic.queues = 257,
        |nic| nic.backend = NicBackend::Vfio { host: "03:00.0".into() },
    ];
    for change in changes {
        let mut wrong = nic("net0");
        change(&mut wrong);
        let why = refused(|spec| spec.nics = vec![wrong]);
        assert!(matches!(why, InvalidSpec::Nic { .. }), "{why:?}");
    }
    for socket in ["relative.sock".to_owned(), format!("/{}", "s".repeat(107))] {
        let mut wrong = nic("net0");
        wrong.backend = NicBackend::VhostUser { socket: socket.into() };
        let why = refused(|spec| (spec.memory.shared, spec.nics) = (true, vec![wrong]));
        assert!(matches!(why, InvalidSpec::Nic { .. }), "{why:?}");
    }
}

#[test]
fn network_interfaces_that_do_not_go_together() {
    let why = refused(|spec| spec.nics = vec![nic("a"), nic("a")]);
    assert_eq!(why, InvalidSpec::DuplicateNic("a".into()));
    let mut user = nic("a");
    user.backend = NicBackend::VhostUser { socket: "/s".into() };
    let why = refused(|spec| spec.nics = vec![user]);
    assert_eq!(why, InvalidSpec::MemoryNotShared { device: "vhost-user network interface" });
    for (machine, slots, most) in [
        (MachineType::Q35, 0, 23),
        (MachineType::Q35, u32::MAX, 23),
        (MachineType::Pc, 4, 23),
        (MachineType::Virt, 4, 23),
        (MachineType::Microvm, 0, 16),
    ] {
        let why = refused_on(machine, |spec| {
            spec.nics = (0..40).map(|number| nic(&format!("net{number}"))).collect();
            spec.hotplug_slots = slots;
        });
        let InvalidSpec::TooManyNics { most: told, .. } = why else { panic!("{machine}: {why:?}") };
        assert_eq!(told, most, "{machine}");
    }
    for machine in [MachineType::Microvm, MachineType::S390CcwVirtio] {
        let mut through = nic("a");
        through.backend = NicBackend::Vfio { host: "0000:03:00.0".into() };
        let why = refused_on(machine, |spec| spec.nics = vec![through]);
        assert!(matches!(why, InvalidSpec::MachineLacks { .. }), "{why:?}");
    }
}
