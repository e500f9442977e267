//! Network interfaces, and the root ports in which more may come. What the argument list and the monitor's commands say
//! of an interface is made in one place.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use virtcontainers_types::MachineType;

use super::{Args, Platform, Props, path};
use crate::{
    error::InvalidSpec,
    hotplug::{PlugKind, PlugSlots},
    nic::{Nic, NicBackend, PlannedNic},
    qemu::slots,
    spec::VmSpec,
};

/// The longest id, in bytes.
const LONGEST_ID: usize = 32;
/// The most pairs of queues: as many as a tap has (the kernel's `MAX_TAP_QUEUES`).
pub(in crate::qemu) const MOST_QUEUES: u32 = 256;
/// The longest path of a Unix socket, in bytes (`sun_path`, less its end).
const LONGEST_SOCKET: usize = 107;
/// The smallest packet size that an IPv4 host may have (RFC 791), and the most that virtio-net can tell.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;

/// Options of one object of QEMU: its kind, then names and values.
pub(in crate::qemu) struct Options {
    pub(in crate::qemu) kind: String,
    pub(in crate::qemu) values: Vec<(&'static str, Value)>,
}

impl Options {
    fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), values: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// As an argument has them.
    fn props(self) -> Props {
        let on_off = |on| if on { "on" } else { "off" };
        self.values.into_iter().fold(Props::new(self.kind), |props, (name, value)| match value {
            Value::Bool(on) => props.with(name, on_off(on)),
            Value::String(text) => props.with(name, text),
            value @ (Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                props.with(name, value)
            }
        })
    }
}

/// What cannot be an interface of this machine.
pub(in crate::qemu) fn validate(spec: &VmSpec) -> Result<(), InvalidSpec> {
    let mut ids = BTreeSet::new();
    for nic in &spec.nics {
        check(nic, spec.machine)?;
        if !ids.insert(&nic.id) {
            return Err(InvalidSpec::DuplicateNic(nic.id.clone()));
        }
        if matches!(nic.backend, NicBackend::VhostUser { .. }) && !spec.memory.shared {
            return Err(InvalidSpec::MemoryNotShared { device: "vhost-user network interface" });
        }
    }
    Ok(())
}

/// What cannot be an interface of any machine, or not of this one.
pub(in crate::qemu) fn check(nic: &Nic, machine: MachineType) -> Result<(), InvalidSpec> {
    let wrong = |why| Err(InvalidSpec::Nic { id: nic.id.clone(), why });
    let good = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    if nic.id.len() > LONGEST_ID
        || !nic.id.starts_with(|char: char| char.is_ascii_alphabetic())
        || !nic.id.chars().all(good)
    {
        return wrong("its id has to be a letter, then letters, digits, `.`, `_` and `-`, 32 in all at most");
    }
    if !nic.mac.is_unicast() {
        return wrong("its hardware address is a group's, or zero: give one whose first byte is even");
    }
    if nic.mtu.is_some_and(|mtu| !MTU.contains(&mtu)) {
        return wrong("its MTU has to be from 68 to 65535");
    }
    if !(1..=MOST_QUEUES).contains(&nic.queues) {
        return wrong("it has to have from 1 to 256 pairs of queues");
    }
    match &nic.backend {
        NicBackend::Tap { .. } => Ok(()),
        NicBackend::VhostUser { socket } => {
            if !socket.is_absolute() || path("vhost-user socket", socket)?.len() > LONGEST_SOCKET {
                return wrong(
                    "the path of its vhost-user socket has to be absolute, and of at most 107 bytes",
                );
            }
            Ok(())
        }
        NicBackend::Vfio { host } => match machine {
            MachineType::Microvm | MachineType::S390CcwVirtio => Err(InvalidSpec::MachineLacks {
                machine,
                what: "PCI bus for a passed-through device: use q35",
            }),
            MachineType::Q35 | MachineType::Pc | MachineType::Virt | MachineType::Pseries => {
                if is_pci_address(host) { Ok(()) } else { wrong("its PCI address has to be as 0000:03:00.0") }
            }
        },
    }
}

/// `domain:bus:slot.function`, in hexadecimal digits.
fn is_pci_address(text: &str) -> bool {
    let shape = "0000:00:00.0";
    text.len() == shape.len()
        && text.chars().zip(shape.chars()).all(|(char, shape)| match shape {
            '0' => char.is_ascii_hexdigit(),
            separator => char == separator,
        })
}

/// The id of an interface's device; [`id_of_device`] is its inverse. Those of other devices begin otherwise.
pub(in crate::qemu) fn device_id(id: &str) -> String {
    format!("nic-{id}")
}

/// The interface whose device has this id.
pub(in crate::qemu) fn id_of_device(device: &str) -> Option<&str> {
    device.strip_prefix("nic-")
}

/// The id of what carries an interface's packets.
pub(in crate::qemu) fn netdev_id(id: &str) -> String {
    format!("net-{id}")
}

/// The id of the chardev to a vhost-user process.
pub(in crate::qemu) fn chardev_id(id: &str) -> String {
    format!("nic-{id}")
}

/// What carries the packets, with the descriptors by their numbers or names; nothing for a device that brings its own.
pub(in crate::qemu) fn netdev(nic: &Nic, taps: &[String], vhost: &[String]) -> Option<Options> {
    let id = netdev_id(&nic.id);
    match &nic.backend {
        NicBackend::Tap { .. } => {
            let tap = match taps {
                [fd] => Options::new("tap").with("id", id).with("fd", fd.as_str()),
                fds => Options::new("tap").with("id", id).with("fds", fds.join(":")),
            };
            Some(match vhost {
                [] => tap,
                [fd] => tap.with("vhost", true).with("vhostfd", fd.as_str()),
                fds => tap.with("vhost", true).with("vhostfds", fds.join(":")),
            })
        }
        NicBackend::VhostUser { .. } => {
            let netdev = Options::new("vhost-user").with("id", id).with("chardev", chardev_id(&nic.id));
            Some(netdev.with("queues", nic.queues))
        }
        NicBackend::Vfio { .. } => None,
    }
}

/// The device that the guest sees, but for its place.
pub(in crate::qemu) fn device(nic: &Nic, platform: Platform) -> Options {
    if let NicBackend::Vfio { host } = &nic.backend {
        // Without the BAR of its ROM, no firmware boots from it.
        let device = Options::new("vfio-pci").with("id", device_id(&nic.id));
        return device.with("host", host.as_str()).with("rombar", 0);
    }
    let device = Options::new(format!("virtio-net-{}", platform.bus)).with("id", device_id(&nic.id));
    let mut device = device.with("netdev", netdev_id(&nic.id)).with("mac", nic.mac.to_string());
    if let Some(mtu) = nic.mtu {
        device = device.with("host_mtu", mtu);
    }
    let on_pci = platform.bus == "pci";
    if nic.queues > 1 {
        device = device.with("mq", true);
        if on_pci {
            // One for each queue, one for the control queue, one for changes of the configuration.
            device = device.with("vectors", 2 * nic.queues + 2);
        }
    }
    // No ROM to boot from the network.
    if on_pci { device.with("romfile", "") } else { device }
}

/// A slot of the root bus, as a property of a device.
pub(in crate::qemu) fn addr(slot: u8) -> String {
    format!("{slot:02x}")
}

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec, platform: Platform) -> Result<(), InvalidSpec> {
    let ports = slots::plug_slots(spec).filter(|slots| slots.kind == PlugKind::RootPort);
    for slot in ports.into_iter().flat_map(PlugSlots::slots) {
        // A modern virtio device needs no I/O ports, of which there is not enough for many bridges. Chassis and slot name
        // the port to the guest and must differ.
        let port = Props::new("pcie-root-port").with("id", slots::port_id(slot)).with("bus", "pcie.0");
        let port = port.with("addr", addr(slot)).with("chassis", slot).with("slot", slot);
        args.props("-device", port.with("io-reserve", 0));
    }
    for (place, (nic, planned)) in spec.nics.iter().zip(slots::planned_nics(spec)).enumerate() {
        let PlannedNic { taps, vhost, .. } = planned;
        let numbers = |fds: Vec<i32>| fds.iter().map(i32::to_string).collect::<Vec<_>>();
        if let NicBackend::VhostUser { socket } = &nic.backend {
            args.props("-chardev", vhost_user(&nic.id, socket)?);
        }
        if let Some(netdev) = netdev(nic, &numbers(taps), &numbers(vhost)) {
            args.props("-netdev", netdev.props());
        }
        let device = device(nic, platform);
        let device = match slots::slot(spec, place) {
            Some(slot) if ports.is_none() => device.with("addr", addr(slot)),
            Some(slot) => device.with("bus", slots::port_id(slot)),
            None => device,
        };
        args.props("-device", device.props());
    }
    Ok(())
}

fn vhost_user(id: &str, socket: &Path) -> Result<Props, InvalidSpec> {
    let chardev = Props::new("socket").with("id", chardev_id(id));
    Ok(chardev.with("path", path("vhost-user socket", socket)?))
}
