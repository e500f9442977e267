//! Devices that come and go while the guest runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use virtcontainers_types::net::PciPath;

use crate::{
    error::VmError,
    nic::{Nic, NicFds},
};

/// The ability of a machine to take and to give up devices while it runs.
///
/// Nothing is remembered about slots: they are asked of the VMM each time, so that any process may plug.
#[async_trait]
pub trait Hotplug: Send + Sync + std::fmt::Debug {
    /// Plugs a network interface into the first free slot, and says where the guest will find it.
    ///
    /// # Errors
    /// [`VmError::NoFreeSlot`] when all are taken, [`VmError::DuplicateNic`] when there is one of that id already,
    /// [`VmError::Invalid`] for one that no command can carry, otherwise what the VMM says. Nothing of it is left in the
    /// VMM in that case.
    async fn add_nic(&self, nic: &Nic, fds: NicFds) -> Result<Option<PciPath>, VmError>;

    /// Unplugs a network interface, and returns when the guest has let go of it and the VMM has closed its descriptors.
    /// Idempotent: what is gone is no error, and what an earlier call began is finished.
    ///
    /// # Errors
    /// [`VmError::NotReleased`] when the guest does not let go in time: ask again later.
    async fn remove_nic(&self, id: &str) -> Result<(), VmError>;

    /// The network interfaces that are there now, those of the launch included, in the order of their ids.
    ///
    /// # Errors
    /// [`VmError`] when the VMM does not answer.
    async fn nics(&self) -> Result<Vec<PluggedNic>, VmError>;
}

/// A network interface that a running machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluggedNic {
    /// [`Nic::id`].
    pub id: String,
    /// Its place on the guest's PCI bus.
    pub path: Option<PciPath>,
}

/// The slots of a machine's root bus in which devices come and go while it runs. Part of the machine's record; which of
/// them are taken is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlugSlots {
    /// What is in them.
    pub kind: PlugKind,
    /// The first one.
    pub first: u8,
    /// How many there are.
    pub count: u8,
}

/// How a slot takes a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlugKind {
    /// It holds a PCI Express root port, in which the device goes.
    RootPort,
    /// The device goes in the slot itself.
    RootBus,
}

impl PlugSlots {
    /// The slots.
    pub(crate) fn slots(self) -> std::ops::Range<u8> {
        self.first..self.first.saturating_add(self.count)
    }

    /// Where the guest finds a device of this slot.
    pub(crate) fn path(self, slot: u8) -> Option<PciPath> {
        let path = match self.kind {
            PlugKind::RootPort => vec![slot, 0],
            PlugKind::RootBus => vec![slot],
        };
        PciPath::new(path).ok()
    }
}
