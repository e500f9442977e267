//! The machine: its name, board, accelerator and clock.

use virtcontainers_types::MachineType;

use super::{Args, Props, memory};
use crate::{accelerator::Accelerator, error::InvalidSpec, spec::VmSpec};

/// What a board cannot do.
pub(in crate::qemu) fn validate(spec: &VmSpec) -> Result<(), InvalidSpec> {
    let machine = spec.machine;
    if machine == MachineType::Microvm {
        if spec.accelerator == Accelerator::Tcg && spec.tsc_khz.is_none() {
            let what =
                "the rate of the host's time stamp counter under TCG (tsc_khz), or its guest waits for ever";
            return Err(InvalidSpec::MachineNeeds { machine, what });
        }
        if spec.max_vcpus != spec.vcpus {
            return Err(InvalidSpec::MachineLacks {
                machine,
                what: "plugging of vCPUs: let max_vcpus be vcpus, or use q35",
            });
        }
    }
    for (what, options) in [("machine options", &spec.machine_options), ("CPU features", &spec.cpu_features)]
    {
        if let Some(options) = options {
            super::text(what, options)?;
        }
    }
    Ok(())
}

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec) {
    // Named threads tell in a process listing which ones are vCPUs.
    args.raw("-name", format!("sandbox-{},debug-threads=on", spec.id));
    args.flag("-no-user-config");
    // No network card, display, serial port, floppy or monitor that nobody asked for.
    args.flag("-nodefaults");
    args.raw("-display", "none");
    // A guest that reboots, or panics with `panic=`, ends: a sandbox is never booted twice.
    args.flag("-no-reboot");
    // The guest starts by QMP `cont`, once events are listened to.
    args.flag("-S");
    let accel = Props::new(spec.accelerator.as_str());
    args.props(
        "-accel",
        match (spec.accelerator, spec.machine) {
            (Accelerator::Kvm, MachineType::Q35 | MachineType::Pc | MachineType::Microvm) => {
                // The interrupt routing of the IOAPIC stays out of the kernel.
                accel.with("kernel-irqchip", "split")
            }
            (Accelerator::Kvm, MachineType::Virt | MachineType::Pseries | MachineType::S390CcwVirtio)
            | (Accelerator::Tcg, _) => accel,
        },
    );
    let board = board(spec.machine, spec.accelerator)
        .with("memory-backend", memory::ID)
        // What the guest holds in memory does not belong in a core dump of the VMM.
        .with("dump-guest-core", "off");
    args.props("-machine", board.verbatim(spec.machine_options.as_deref()));
    args.props("-rtc", clock(spec.machine));
}

fn board(machine: MachineType, accelerator: Accelerator) -> Props {
    let board = Props::new(machine.as_str());
    match machine {
        // Devices that a container never needs: each costs the guest a probe.
        MachineType::Q35 => board
            .with("hpet", "off")
            .with("vmport", "off")
            .with("smm", "off")
            .with("usb", "off")
            .with("sata", "off")
            .with("smbus", "off")
            .with("graphics", "off"),
        MachineType::Pc => board
            .with("hpet", "off")
            .with("vmport", "off")
            .with("smm", "off")
            .with("usb", "off")
            .with("graphics", "off"),
        // The virtio-mmio devices are found through ACPI, so the kernel's command line stays ours.
        MachineType::Microvm => board
            .with("acpi", "on")
            .with("auto-kernel-cmdline", "off")
            .with("pit", "off")
            .with("pic", "off")
            .with("rtc", "on")
            .with("isa-serial", "on"),
        MachineType::Virt => match accelerator {
            Accelerator::Kvm => board.with("gic-version", "host").with("usb", "off"),
            Accelerator::Tcg => board.with("gic-version", "3").with("usb", "off"),
        },
        // Mitigations that firmware would have to offer; the translator has none, and without these QEMU refuses or
        // warns.
        MachineType::Pseries => match accelerator {
            Accelerator::Kvm => board.with("usb", "off"),
            Accelerator::Tcg => board
                .with("usb", "off")
                .with("cap-cfpc", "broken")
                .with("cap-sbbc", "broken")
                .with("cap-ibs", "broken")
                .with("cap-ccf-assist", "off")
                .with("cap-large-decr", "off"),
        },
        MachineType::S390CcwVirtio => board,
    }
}

/// The guest's clock follows the host's; where there is an MC146818 (the PC's), ticks that a busy host made the guest
/// miss are made good.
fn clock(machine: MachineType) -> Props {
    let clock = Props::first("base", "utc").with("clock", "host");
    match machine {
        MachineType::Q35 | MachineType::Pc => clock.with("driftfix", "slew"),
        MachineType::Microvm | MachineType::Virt | MachineType::Pseries | MachineType::S390CcwVirtio => clock,
    }
}
