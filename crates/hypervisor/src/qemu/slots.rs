//! Where on the guest's bus the network interfaces are, and where others may come.
//!
//! All of it follows from the spec, so the guest's path to an interface is known before there is a machine. The slots
//! below [`FIRST`] are left to the devices that QEMU places by itself. On q35, whose root bus takes nothing while the
//! guest runs, every slot is a root port if there is to be plugging at all: so what came with the launch can be
//! unplugged as well. On pc the root bus itself takes devices, through ACPI.

use virtcontainers_types::{MachineType, net::PciPath};

use super::args::Fd;
use crate::{
    error::InvalidSpec,
    hotplug::{PlugKind, PlugSlots},
    nic::PlannedNic,
    spec::VmSpec,
};

/// The first slot of the root bus that is ours to give.
const FIRST: u8 = 0x08;
/// How many there are: the last of the bus is the chipset's own.
const SLOTS: u8 = 0x1f - FIRST;
/// A `microvm` has 24 virtio-mmio transports; eight are left to other devices.
const TRANSPORTS: usize = 16;
/// On other buses nothing counts slots; this is what a guest is good for.
const MOST: usize = 64;

/// Where the guest finds a network interface of the launch on its PCI bus; none if there is no such interface, or the
/// machine has no PCI bus (there it is known by its hardware address).
#[must_use]
pub fn cold_nic_path(spec: &VmSpec, id: &str) -> Option<PciPath> {
    path(spec, spec.nics.iter().position(|nic| nic.id == id)?)
}

fn path(spec: &VmSpec, place: usize) -> Option<PciPath> {
    let slot = slot(spec, place)?;
    plug_slots(spec).map_or_else(|| PciPath::new(vec![slot]).ok(), |slots| slots.path(slot))
}

/// The slot of the root bus for the network interface at this place of the spec.
pub(super) fn slot(spec: &VmSpec, place: usize) -> Option<u8> {
    let place = u8::try_from(place).ok().filter(|&place| place < SLOTS)?;
    match spec.machine {
        MachineType::Q35 | MachineType::Pc | MachineType::Virt | MachineType::Pseries => Some(FIRST + place),
        MachineType::Microvm | MachineType::S390CcwVirtio => None,
    }
}

/// Where the machine takes devices while it runs. The interfaces of the launch are in the first of these slots.
pub(crate) fn plug_slots(spec: &VmSpec) -> Option<PlugSlots> {
    if spec.hotplug_slots == 0 {
        return None;
    }
    let kind = match spec.machine {
        MachineType::Q35 => PlugKind::RootPort,
        MachineType::Pc => PlugKind::RootBus,
        MachineType::Microvm | MachineType::Virt | MachineType::Pseries | MachineType::S390CcwVirtio => {
            return None;
        }
    };
    let count = u8::try_from(wanted(spec)).unwrap_or(SLOTS).min(SLOTS);
    Some(PlugSlots { kind, first: FIRST, count })
}

/// The id of the root port in a slot, which is its bus's name too.
pub(super) fn port_id(slot: u8) -> String {
    format!("port-{slot:02x}")
}

/// The slot of a root port by its id.
pub(super) fn slot_of_port(id: &str) -> Option<u8> {
    u8::from_str_radix(id.strip_prefix("port-")?, 16).ok()
}

/// How many slots the spec asks for.
fn wanted(spec: &VmSpec) -> usize {
    spec.nics.len().saturating_add(spec.hotplug_slots as usize)
}

/// More than there is room for.
pub(super) fn validate(spec: &VmSpec) -> Result<(), InvalidSpec> {
    let (wanted, most) = match spec.machine {
        MachineType::Q35 | MachineType::Pc => (wanted(spec), usize::from(SLOTS)),
        MachineType::Virt | MachineType::Pseries => (spec.nics.len(), usize::from(SLOTS)),
        MachineType::Microvm => (spec.nics.len(), TRANSPORTS),
        MachineType::S390CcwVirtio => (spec.nics.len(), MOST),
    };
    if wanted > most {
        return Err(InvalidSpec::TooManyNics { machine: spec.machine, wanted, most });
    }
    Ok(())
}

/// The network interfaces as a plan has them.
pub(crate) fn planned_nics(spec: &VmSpec) -> Vec<PlannedNic> {
    let mut numbers = Fd::FirstNic.number()..;
    let planned = spec.nics.iter().enumerate().map(|(place, nic)| {
        let (taps, vhost) = nic.descriptors();
        PlannedNic {
            id: nic.id.clone(),
            taps: numbers.by_ref().take(taps).collect(),
            vhost: numbers.by_ref().take(vhost).collect(),
            path: path(spec, place),
        }
    });
    planned.collect()
}
