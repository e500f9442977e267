//! Whole argument lists, one argument a line, per machine and feature.
//!
//! `VC_REGENERATE=1 cargo test -p virtcontainers-hypervisor --test golden` rewrites the files; review them as code.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::{fmt::Write as _, fs, path::Path};

use virtcontainers_hypervisor::{
    Accelerator, AgentChannel, Hypervisor as _, LaunchPlan, NicBackend, RootImage, Share, VmSpec,
    cold_nic_path, qemu::Qemu,
};
use virtcontainers_types::{KernelParam, MachineType, MiB, VcpuCount};

mod support;
use support::{nic, spec};

fn show(plan: &LaunchPlan) -> String {
    let mut text = format!("program {}\ndir {}\n", plan.program.display(), plan.dir.display());
    for socket in &plan.listen {
        writeln!(text, "listen {} as {}", socket.name, socket.fd).expect("a string takes all");
    }
    for device in &plan.open {
        writeln!(text, "open {} as {}", device.path.display(), device.fd).expect("a string takes all");
    }
    for nic in &plan.nics {
        let place = nic.path.as_ref().map_or_else(|| "no PCI".to_owned(), ToString::to_string);
        let (id, taps, vhost) = (&nic.id, &nic.taps, &nic.vhost);
        writeln!(text, "nic {id} at {place}: taps {taps:?}, vhost {vhost:?}").expect("a string takes all");
    }
    if let Some(slots) = plan.plug_slots {
        writeln!(text, "plugs {} from {:02x} {:?}", slots.count, slots.first, slots.kind)
            .expect("a string takes all");
    }
    text.push('\n');
    for arg in &plan.args {
        writeln!(text, "{arg}").expect("a string takes all");
    }
    text
}

fn golden(name: &str, spec: &VmSpec) {
    let shown = show(&Qemu::new().plan(spec).expect("the spec can be built"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("VC_REGENERATE").is_some() {
        fs::write(&file, &shown).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run with VC_REGENERATE=1", file.display()));
    assert_eq!(shown, expected, "{} differs: run with VC_REGENERATE=1 if that is meant", file.display());
}

fn virtio_fs() -> Share {
    Share::VirtioFs { tag: "kataShared".into(), socket: "virtiofsd.sock".into(), cache: MiB(0) }
}

fn nine_p() -> Share {
    Share::NineP { tag: "kataShared".into(), path: "/run/vc/a,b/shared".into() }
}

/// Every machine with what its kind of guest uses most: a transport, a share, entropy.
fn furnished(machine: MachineType, channel: AgentChannel, share: Share) -> VmSpec {
    let mut spec = spec(machine);
    spec.memory.shared = true;
    spec.channel = channel;
    spec.shares = vec![share];
    spec.entropy = Some("/dev/urandom".into());
    spec
}

fn serial() -> AgentChannel {
    AgentChannel::VirtioSerial { socket: "serial.sock".into() }
}

fn hybrid() -> AgentChannel {
    AgentChannel::VhostUserVsock { socket: "vhost-vsock.sock".into() }
}

#[test]
fn every_machine_bare() {
    for &machine in MachineType::ALL {
        golden(&format!("{machine}-bare-tcg"), &spec(machine));
        let mut kvm = spec(machine);
        kvm.accelerator = Accelerator::Kvm;
        golden(&format!("{machine}-bare-kvm"), &kvm);
    }
}

#[test]
fn every_machine_with_every_transport_and_share() {
    for &machine in MachineType::ALL {
        golden(&format!("{machine}-serial-9p"), &furnished(machine, serial(), nine_p()));
        golden(
            &format!("{machine}-vsock-virtio-fs"),
            &furnished(machine, AgentChannel::Vsock { cid: 42 }, virtio_fs()),
        );
        if machine != MachineType::S390CcwVirtio {
            golden(&format!("{machine}-hybrid-virtio-fs"), &furnished(machine, hybrid(), virtio_fs()));
        }
    }
}

#[test]
fn memory_and_vcpus() {
    let mut spec = spec(MachineType::Q35);
    spec.vcpus = VcpuCount::new(2).expect("not zero");
    spec.max_vcpus = VcpuCount::new(8).expect("not zero");
    spec.cpu_features = Some("-avx2,+x2apic".into());
    spec.machine_options = Some("nvdimm=on".into());
    spec.memory.prealloc = true;
    golden("q35-vcpus-prealloc", &spec);
    spec.memory.path = Some("/dev/shm/a,b".into());
    golden("q35-memory-file", &spec);
}

#[test]
fn image_firmware_debug_and_users_own_parameters() {
    let mut spec = spec(MachineType::Q35);
    spec.boot.root = RootImage::Image("/guest/a,b.img".into());
    spec.boot.firmware = Some("/guest/a,b.fd".into());
    spec.boot.params = vec![
        KernelParam::new("console", "hvc0"),
        KernelParam::new("vc.debug", ""),
        KernelParam::new("nokaslr", ""),
    ];
    spec.debug = true;
    spec.seccomp = false;
    spec.extra_params =
        vec![KernelParam::new("device", "virtio-balloon-pci,id=b"), KernelParam::new("--enable-fips", "")];
    golden("q35-image-debug", &spec);
}

/// One of each kind of interface that the machine can have.
fn networked(machine: MachineType) -> VmSpec {
    let mut spec = spec(machine);
    spec.memory.shared = true;
    let mut queues = nic("queues");
    queues.queues = 2;
    queues.mtu = Some(9000);
    let mut vhost = nic("vhost");
    vhost.backend = NicBackend::Tap { vhost: true };
    let mut both = nic("both");
    (both.queues, both.backend) = (2, NicBackend::Tap { vhost: true });
    let mut user = nic("user");
    user.backend = NicBackend::VhostUser { socket: "/run/a,b/nic.sock".into() };
    spec.nics = vec![nic("net0"), queues, vhost, both, user];
    if !matches!(machine, MachineType::Microvm | MachineType::S390CcwVirtio) {
        let mut through = nic("through");
        through.backend = NicBackend::Vfio { host: "0000:03:00.0".into() };
        spec.nics.push(through);
    }
    spec
}

#[test]
fn every_machine_with_every_network_interface() {
    for &machine in MachineType::ALL {
        golden(&format!("{machine}-nics"), &networked(machine));
    }
}

#[test]
fn every_machine_that_takes_devices_while_it_runs() {
    for &machine in MachineType::ALL {
        let mut spec = spec(machine);
        spec.nics = vec![nic("net0")];
        spec.hotplug_slots = 2;
        golden(&format!("{machine}-hotplug"), &spec);
    }
}

#[test]
fn the_path_of_an_interface_is_that_of_the_plan() {
    for &machine in MachineType::ALL {
        for slots in [0, 3] {
            let mut spec = networked(machine);
            spec.hotplug_slots = slots;
            let plan = Qemu::new().plan(&spec).expect("it can be built");
            for nic in plan.nics {
                assert_eq!(cold_nic_path(&spec, &nic.id), nic.path, "{machine}");
            }
            assert_eq!(cold_nic_path(&spec, "none"), None);
        }
    }
}
