//! vCPUs: model and number.

use virtcontainers_types::MachineType;

use super::{Args, Props};
use crate::{accelerator::Accelerator, spec::VmSpec};

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec) {
    args.props("-cpu", model(spec.machine, spec.accelerator).verbatim(spec.cpu_features.as_deref()));
    args.props("-smp", Props::new(spec.vcpus.to_string()).with("maxcpus", spec.max_vcpus));
}

fn model(machine: MachineType, accelerator: Accelerator) -> Props {
    match (accelerator, machine) {
        (Accelerator::Kvm, _) => Props::new("host"),
        (Accelerator::Tcg, MachineType::Q35 | MachineType::Pc | MachineType::Microvm) => translated_x86(),
        (Accelerator::Tcg, MachineType::Pseries) => Props::new("power9"),
        (Accelerator::Tcg, MachineType::Virt | MachineType::S390CcwVirtio) => Props::new("max"),
    }
}

/// Every feature that the translator has, so that programs built for x86-64-v3 run, but for one that no program needs:
/// `erms` tells the kernel to copy and clear memory by `rep movsb`, which is translated to a loop over bytes. Without it a
/// boot took a sixth less (QEMU 7.2, medians of pairs), which makes up for what the model `qemu64`, without SSE4 and AVX,
/// has ahead of `max`.
fn translated_x86() -> Props {
    Props::new("max").with("erms", "off")
}
