//! What runs the guest's instructions, and how that is decided.
//!
//! KVM is faster by an order of magnitude, but `/dev/kvm` alone proves nothing: on a host that is itself a guest without
//! nested virtualization the device may open and make machines in which an ordinary guest never gets anywhere. So the
//! processor must show `vmx` or `svm` too. Everything else runs under QEMU's translator, TCG.

use std::{fs::OpenOptions, io, path::Path};

use thiserror::Error;
use virtcontainers_sys::cpu::{CpuFacts, Virtualization};
use virtcontainers_types::{AcceleratorChoice, MachineType};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// The kernel's virtual machine.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// The name, as QEMU's `-accel` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// Why KVM cannot run a guest here, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KvmUnusable {
    /// No device.
    #[error(
        "there is no /dev/kvm: load the module kvm_intel or kvm_amd, and enable virtualization in the firmware"
    )]
    NoDevice,
    /// No permission.
    #[error(
        "/dev/kvm may not be opened by this user: become root, or join the group that owns it (usually kvm)"
    )]
    Denied,
    /// Another failure.
    #[error("/dev/kvm does not open: {0}")]
    Broken(String),
    /// A processor without virtualization.
    #[error(
        "/dev/kvm opens, but the processor shows neither vmx nor svm: on a host that is itself a virtual machine, \
         turn on nested virtualization for it"
    )]
    NoVirtualization,
    /// A guest of another architecture.
    #[error("machine type {0} is not of this host's architecture")]
    ForeignMachine(MachineType),
}

/// KVM was demanded where it is not usable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "accelerator kvm cannot be used: {reason}; or choose the accelerator tcg (slower, needs nothing) or auto"
)]
pub struct AcceleratorError {
    /// Why.
    #[source]
    pub reason: KvmUnusable,
}

/// What the decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Whether `/dev/kvm` opens for reading and writing, and why not.
    pub device: Result<(), KvmUnusable>,
    /// Whether the host is x86, where the next field means something.
    pub x86: bool,
    /// The processor's virtualization flag.
    pub virtualization: Option<Virtualization>,
    /// The machine's type, if its processor is not of the host's architecture.
    pub foreign: Option<MachineType>,
}

/// An accelerator and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceleratorDecision {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Set when TCG stands in for KVM without having been asked for, and when KVM was demanded of a processor that shows
    /// no virtualization: binaries print it once, as a warning.
    pub reason: Option<KvmUnusable>,
}

impl HostFacts {
    /// Looks at this host with the eyes of a machine of this type.
    ///
    /// # Errors
    /// When `/proc/cpuinfo` cannot be read.
    pub fn probe(machine: MachineType) -> io::Result<Self> {
        let cpu = CpuFacts::read(Path::new("/proc/cpuinfo"))?;
        let device = match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KvmUnusable::NoDevice),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(KvmUnusable::Denied),
            Err(error) => Err(KvmUnusable::Broken(error.to_string())),
        };
        let host = std::env::consts::ARCH;
        Ok(Self {
            device,
            x86: matches!(host, "x86_64" | "x86"),
            virtualization: cpu.virtualization,
            foreign: (architecture(machine) != host).then_some(machine),
        })
    }

    /// Whether KVM can run the guest.
    ///
    /// # Errors
    /// Why not.
    pub fn kvm(&self) -> Result<(), KvmUnusable> {
        if let Some(machine) = self.foreign {
            return Err(KvmUnusable::ForeignMachine(machine));
        }
        self.device.clone()?;
        if self.x86 && self.virtualization.is_none() {
            return Err(KvmUnusable::NoVirtualization);
        }
        Ok(())
    }
}

/// The processor architecture of a machine type, as [`std::env::consts::ARCH`] names it.
const fn architecture(machine: MachineType) -> &'static str {
    match machine {
        MachineType::Q35 | MachineType::Pc | MachineType::Microvm => "x86_64",
        MachineType::Virt => "aarch64",
        MachineType::Pseries => "powerpc64",
        MachineType::S390CcwVirtio => "s390x",
    }
}

/// Decides. Pure: the same facts make the same decision.
///
/// # Errors
/// [`AcceleratorError`] when `kvm` is demanded and `/dev/kvm` cannot be had.
pub fn choose_accelerator(
    choice: AcceleratorChoice,
    facts: &HostFacts,
) -> Result<AcceleratorDecision, AcceleratorError> {
    let decided = |accelerator, reason| Ok(AcceleratorDecision { accelerator, reason });
    match (choice, facts.kvm()) {
        (AcceleratorChoice::Tcg, _) => decided(Accelerator::Tcg, None),
        (AcceleratorChoice::Auto | AcceleratorChoice::Kvm, Ok(())) => decided(Accelerator::Kvm, None),
        (AcceleratorChoice::Auto, Err(reason)) => decided(Accelerator::Tcg, Some(reason)),
        // The flags are a guess at what the device can do: a user who knows better (PVM, say) may say so.
        (AcceleratorChoice::Kvm, Err(reason @ KvmUnusable::NoVirtualization)) => {
            decided(Accelerator::Kvm, Some(reason))
        }
        (AcceleratorChoice::Kvm, Err(reason)) => Err(AcceleratorError { reason }),
    }
}

#[cfg(test)]
mod tests;
