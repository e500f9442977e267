//! Network interfaces that come and go over QMP.
//!
//! An interface is up to four things in QEMU: named descriptors (`getfd`), a chardev for vhost-user, a netdev and a
//! device. They come in this order and go in the reverse one. Their ids follow from the interface's, so whatever a
//! process left half done is found again, and every step of a removal puts up with what is gone already.

use std::{os::fd::OwnedFd, time::Duration};

use async_trait::async_trait;
use qapi::{Command, Dictionary, Empty, qmp};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use virtcontainers_types::{MachineType, net::PciPath};

use super::{
    args::{Platform, nic as options},
    machine::{Machine, Monitor},
    qmp::COMMAND,
    slots,
};
use crate::{
    error::VmError,
    hotplug::{Hotplug, PlugKind, PlugSlots, PluggedNic},
    nic::{Nic, NicBackend, NicFds},
};

/// How long the guest may take to give up a device. A guest that boots does not hear: it has to be asked again, later.
const RELEASE: Duration = Duration::from_secs(10);
/// Where QEMU keeps the devices that have an id, in its tree of objects.
const PERIPHERAL: &str = "/machine/peripheral";

#[async_trait]
impl Hotplug for Machine {
    async fn add_nic(&self, nic: &Nic, fds: NicFds) -> Result<Option<PciPath>, VmError> {
        let Some(slots) = self.record.plug_slots else {
            return Err(VmError::NoFreeSlot { device: nic.id.clone(), slots: 0 });
        };
        options::check(nic, machine(slots))?;
        let (taps, vhost) = nic.descriptors();
        fds.check(&nic.id, taps, vhost)?;
        let _turn = self.plugging.lock().await;
        self.while_alive(async { Plugger { monitor: self.monitor().await?, slots }.add(nic, fds).await })
            .await
    }

    async fn remove_nic(&self, id: &str) -> Result<(), VmError> {
        let Some(slots) = self.record.plug_slots else { return Ok(()) };
        let _turn = self.plugging.lock().await;
        self.while_alive(async { Plugger { monitor: self.monitor().await?, slots }.remove(id).await }).await
    }

    async fn nics(&self) -> Result<Vec<PluggedNic>, VmError> {
        let Some(slots) = self.record.plug_slots else { return Ok(Vec::new()) };
        self.while_alive(async { Plugger { monitor: self.monitor().await?, slots }.nics().await }).await
    }
}

/// The machine that has such slots.
const fn machine(slots: PlugSlots) -> MachineType {
    match slots.kind {
        PlugKind::RootPort => MachineType::Q35,
        PlugKind::RootBus => MachineType::Pc,
    }
}

/// `netdev_add` with the options that the argument list has too.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct AddNetdev(Dictionary);

impl Command for AddNetdev {
    type Ok = Empty;
    const NAME: &'static str = "netdev_add";
    const ALLOW_OOB: bool = false;
}

/// `chardev-add` of a socket that another process listens on.
#[derive(Debug, Serialize)]
struct AddChardev {
    id: String,
    backend: Value,
}

impl Command for AddChardev {
    type Ok = Empty;
    const NAME: &'static str = "chardev-add";
    const ALLOW_OOB: bool = false;
}

/// One change, on one connection: the names of descriptors belong to it.
struct Plugger<'m> {
    monitor: Monitor<'m>,
    slots: PlugSlots,
}

impl Plugger<'_> {
    async fn execute<C: Command>(&self, command: C) -> Result<C::Ok, VmError> {
        self.monitor.qmp().execute(command, COMMAND).await
    }

    async fn add(&self, nic: &Nic, fds: NicFds) -> Result<Option<PciPath>, VmError> {
        if self.is_there(&options::device_id(&nic.id)).await? {
            return Err(VmError::DuplicateNic { id: nic.id.clone() });
        }
        // What somebody who died left behind.
        self.sweep(&nic.id, 0).await?;
        let slot = self.free_slot(&nic.id).await?;
        match self.plug(nic, fds, slot).await {
            Ok(()) => Ok(self.slots.path(slot)),
            Err(error) => {
                if let Err(left) = self.sweep(&nic.id, nic.queues).await {
                    tracing::warn!(id = nic.id, error = %left, "part of a network interface is left in the VMM");
                }
                Err(error)
            }
        }
    }

    async fn plug(&self, nic: &Nic, fds: NicFds, slot: u8) -> Result<(), VmError> {
        let taps = self.give(&nic.id, Kind::Tap, fds.taps).await?;
        let vhost = self.give(&nic.id, Kind::Vhost, fds.vhost).await?;
        if let NicBackend::VhostUser { socket } = &nic.backend {
            let addr = json!({"type": "unix", "data": {"path": socket}});
            let backend = json!({"type": "socket", "data": {"addr": addr, "server": false}});
            self.execute(AddChardev { id: options::chardev_id(&nic.id), backend }).await?;
        }
        if let Some(netdev) = options::netdev(nic, &taps, &vhost) {
            let mut arguments = arguments(netdev.values);
            arguments.insert("type".to_owned(), netdev.kind.into());
            self.execute(AddNetdev(arguments)).await?;
        }
        let device = options::device(nic, Platform::of(machine(self.slots)));
        let mut arguments = arguments(device.values);
        let bus = match self.slots.kind {
            PlugKind::RootPort => Some(slots::port_id(slot)),
            PlugKind::RootBus => {
                arguments.insert("addr".to_owned(), options::addr(slot).into());
                None
            }
        };
        self.execute(qmp::device_add { driver: device.kind, id: None, bus, arguments }).await.map(drop)
    }

    /// Gives QEMU descriptors, one after the other, and returns their names.
    async fn give(&self, id: &str, kind: Kind, fds: Vec<OwnedFd>) -> Result<Vec<String>, VmError> {
        let mut names = Vec::with_capacity(fds.len());
        for (number, fd) in (0..).zip(fds) {
            let name = kind.name(id, number);
            self.monitor.qmp().give(name.clone(), fd, COMMAND).await?;
            names.push(name);
        }
        Ok(names)
    }

    /// Asks the guest once. Where the guest hears of it through ACPI, each question makes it eject whatever is in the
    /// slot by then: a second one that it comes to late would take the slot's next device.
    async fn remove(mut self, id: &str) -> Result<(), VmError> {
        let device = options::device_id(id);
        let asked = qmp::device_del { id: device.clone() };
        let why = match self.monitor.qmp().execute_if_there(asked, COMMAND).await {
            Ok(_) => None,
            // It has been asked a moment ago, perhaps by another process.
            Err(VmError::Qmp { desc, .. }) => Some(desc),
            Err(error) => return Err(error),
        };
        if let Ok(gone) = timeout(RELEASE, self.gone(&device)).await {
            gone?;
        } else {
            let refused = self.monitor.unplugs.borrow().kept.as_ref() == Some(&device);
            let why = if refused { Some("it refused".to_owned()) } else { why };
            let device = format!("network interface {id}");
            return Err(VmError::NotReleased { device, after: RELEASE, why });
        }
        self.sweep(id, 0).await
    }

    /// Resolves when a device is gone.
    async fn gone(&mut self, device: &str) -> Result<(), VmError> {
        while self.is_there(device).await? {
            // If the connection broke, whoever asks next is told how.
            self.monitor.unplugs.changed().await.ok();
        }
        Ok(())
    }

    /// Removes all that an interface is, but for its device. Descriptors come in order, so the first that is not there is
    /// the last looked for; but of these `queues` each is.
    async fn sweep(&self, id: &str, queues: u32) -> Result<(), VmError> {
        let netdev = qmp::netdev_del { id: options::netdev_id(id) };
        self.monitor.qmp().execute_if_there(netdev, COMMAND).await?;
        let chardev = options::chardev_id(id);
        if self.execute(qmp::query_chardev {}).await?.iter().any(|device| device.label == chardev) {
            self.execute(qmp::chardev_remove { id: chardev }).await?;
        }
        for kind in [Kind::Tap, Kind::Vhost] {
            for number in 0..options::MOST_QUEUES {
                let close = qmp::closefd { fdname: kind.name(id, number) };
                match self.execute(close).await {
                    Ok(_) => {}
                    Err(VmError::Qmp { .. }) if number < queues => {}
                    Err(VmError::Qmp { .. }) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// What is at a place in QEMU's tree of objects; nothing where there is no such place.
    async fn list(&self, path: String) -> Result<Vec<qmp::ObjectPropertyInfo>, VmError> {
        let listed = self.monitor.qmp().execute_if_there(qmp::qom_list { path }, COMMAND).await?;
        Ok(listed.unwrap_or_default())
    }

    async fn is_there(&self, device: &str) -> Result<bool, VmError> {
        Ok(self.list(PERIPHERAL.to_owned()).await?.iter().any(|child| child.name == device))
    }

    /// The first slot with nothing in it. What the guest has made of its bridges does not matter.
    async fn free_slot(&self, id: &str) -> Result<u8, VmError> {
        match self.slots.kind {
            PlugKind::RootPort => {
                for slot in self.slots.slots() {
                    let port = slots::port_id(slot);
                    // A bus has a link to each of its devices.
                    let bus = self.list(format!("{PERIPHERAL}/{port}/{port}")).await?;
                    if !bus.is_empty() && !bus.iter().any(|link| link.name.starts_with("child[")) {
                        return Ok(slot);
                    }
                }
            }
            PlugKind::RootBus => {
                let buses = self.execute(qmp::query_pci {}).await?;
                let root = buses.iter().filter(|bus| bus.bus == 0).flat_map(|bus| &bus.devices);
                let taken: Vec<i64> = root.map(|device| device.slot).collect();
                if let Some(slot) = self.slots.slots().find(|&slot| !taken.contains(&slot.into())) {
                    return Ok(slot);
                }
            }
        }
        let device = format!("network interface {id}");
        Err(VmError::NoFreeSlot { device, slots: self.slots.count.into() })
    }

    async fn nics(&self) -> Result<Vec<PluggedNic>, VmError> {
        let mut nics = Vec::new();
        for child in self.list(PERIPHERAL.to_owned()).await? {
            let Some(id) = options::id_of_device(&child.name) else { continue };
            let property = match self.slots.kind {
                PlugKind::RootPort => "parent_bus",
                PlugKind::RootBus => "addr",
            };
            let get =
                qmp::qom_get { path: format!("{PERIPHERAL}/{}", child.name), property: property.to_owned() };
            // It may have gone since.
            let Some(place) = self.monitor.qmp().execute_if_there(get, COMMAND).await? else { continue };
            let slot = slot_of(&place);
            nics.push(PluggedNic { id: id.to_owned(), path: slot.and_then(|slot| self.slots.path(slot)) });
        }
        nics.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(nics)
    }
}

/// The slot that a device's bus or address tells of.
fn slot_of(place: &Value) -> Option<u8> {
    match place.as_u64() {
        // Slot and function.
        Some(addr) => u8::try_from(addr >> 3).ok(),
        None => slots::slot_of_port(place.as_str()?.rsplit('/').next()?),
    }
}

fn arguments(values: Vec<(&'static str, Value)>) -> Dictionary {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tap,
    Vhost,
}

impl Kind {
    /// The name under which QEMU gets one. A netdev takes it from there.
    fn name(self, id: &str, number: u32) -> String {
        let kind = match self {
            Self::Tap => "tap",
            Self::Vhost => "vhost",
        };
        format!("nic-{id}-{kind}{number}")
    }
}
