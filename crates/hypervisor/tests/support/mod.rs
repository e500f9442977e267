//! Specs to vary, for the tests of this crate.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use virtcontainers_hypervisor::{
    Accelerator, AgentChannel, Boot, Memory, Nic, NicBackend, RootImage, VmSpec, qemu::Qemu,
};
use virtcontainers_types::{MachineType, MiB, SandboxId, VcpuCount};

/// A machine with nothing but a kernel and an initrd.
pub(crate) fn spec(machine: MachineType) -> VmSpec {
    VmSpec {
        id: SandboxId::new("box").expect("a valid id"),
        dir: "/run/virtcontainers/sandboxes/box".into(),
        program: Qemu::default_program(machine).into(),
        machine,
        machine_options: None,
        accelerator: Accelerator::Tcg,
        tsc_khz: Some(2_445_422),
        cpu_features: None,
        vcpus: VcpuCount::ONE,
        max_vcpus: VcpuCount::ONE,
        memory: Memory { size: MiB(1024), shared: false, prealloc: false, path: None },
        boot: Boot {
            kernel: "/guest/vmlinux".into(),
            root: RootImage::Initrd("/guest/initrd.img".into()),
            firmware: None,
            params: Vec::new(),
        },
        channel: AgentChannel::None,
        shares: Vec::new(),
        nics: Vec::new(),
        hotplug_slots: 0,
        entropy: None,
        seccomp: true,
        debug: false,
        extra_params: Vec::new(),
    }
}

/// The guest image that `make guest` makes.
pub(crate) fn guest_dir() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/guest");
    let dir = std::env::var_os("VC_GUEST_DIR").map_or(built, PathBuf::from);
    assert!(
        dir.join("vmlinux").is_file() && dir.join("initrd.img").is_file(),
        "no guest image in {}: run `make guest`, or set VC_GUEST_DIR",
        dir.display()
    );
    dir
}

/// A network interface with one tap.
pub(crate) fn nic(id: &str) -> Nic {
    Nic {
        id: id.into(),
        mac: "02:00:00:00:00:01".parse().expect("a hardware address"),
        mtu: None,
        queues: 1,
        backend: NicBackend::Tap { vhost: false },
    }
}
