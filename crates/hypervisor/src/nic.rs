//! Network interfaces of a machine, as the caller asks for them: plain data, and the descriptors that travel beside it.

use std::{collections::HashMap, os::fd::OwnedFd, path::PathBuf};

use virtcontainers_types::net::{MacAddr, PciPath};

use crate::error::VmError;

/// A network interface of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name on the host, unique in the machine: a letter, then letters, digits, `.`, `_` and `-`, at most 32 in all.
    pub id: String,
    /// Its hardware address. One that is passed through ([`NicBackend::Vfio`]) keeps its own.
    pub mac: MacAddr,
    /// The largest packet in bytes (68 to 65535), which the guest's driver takes as its own; none for the driver's choice.
    pub mtu: Option<u32>,
    /// Pairs of queues; at least one.
    pub queues: u32,
    /// What carries its packets.
    pub backend: NicBackend,
}

/// What carries a network interface's packets on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NicBackend {
    /// A tap or macvtap, one descriptor for each pair of queues ([`NicFds::taps`]).
    Tap {
        /// Whether the kernel's vhost-net moves the packets ([`NicFds::vhost`]) instead of the VMM.
        vhost: bool,
    },
    /// Another process, which maps the guest's memory and listens on this socket.
    VhostUser {
        /// The socket, absolute; at most 107 bytes.
        socket: PathBuf,
    },
    /// A device of the host that is bound to vfio-pci.
    Vfio {
        /// Its PCI address, `0000:03:00.0`.
        host: String,
    },
}

/// The descriptors of one network interface. They are closed in this process once the VMM has them.
#[derive(Debug, Default)]
pub struct NicFds {
    /// Which one: [`Nic::id`].
    pub id: String,
    /// The tap's queues, as many as [`Nic::queues`].
    pub taps: Vec<OwnedFd>,
    /// As many opened `/dev/vhost-net`, or none.
    pub vhost: Vec<OwnedFd>,
}

/// A network interface in a [`crate::LaunchPlan`]: where its descriptors will be in the VMM, and where the guest finds
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNic {
    /// Which one: [`Nic::id`].
    pub id: String,
    /// Descriptor numbers of the tap's queues.
    pub taps: Vec<i32>,
    /// Descriptor numbers of vhost-net.
    pub vhost: Vec<i32>,
    /// Its place on the guest's PCI bus, on machines that have one.
    pub path: Option<PciPath>,
}

impl NicFds {
    /// Puts what the caller gives in the order of the plan: exactly the descriptors that the plan speaks of.
    pub(crate) fn sorted(given: Vec<Self>, plan: &[PlannedNic]) -> Result<Vec<Self>, VmError> {
        let mut given: HashMap<String, Self> = given.into_iter().map(|fds| (fds.id.clone(), fds)).collect();
        let sorted = plan.iter().map(|nic| {
            let fds = given.remove(&nic.id).unwrap_or_default();
            fds.check(&nic.id, nic.taps.len(), nic.vhost.len())?;
            Ok(fds)
        });
        let sorted = sorted.collect::<Result<_, VmError>>()?;
        for (id, fds) in given {
            fds.check(&id, 0, 0)?;
        }
        Ok(sorted)
    }

    /// Refuses too many and too few.
    pub(crate) fn check(&self, id: &str, taps: usize, vhost: usize) -> Result<(), VmError> {
        for (what, expected, given) in
            [("taps", taps, self.taps.len()), ("vhost-net", vhost, self.vhost.len())]
        {
            if expected != given {
                return Err(VmError::NicFds { id: id.to_owned(), what, expected, given });
            }
        }
        Ok(())
    }
}

impl Nic {
    /// How many descriptors of each kind it comes with: taps, vhost.
    pub(crate) const fn descriptors(&self) -> (usize, usize) {
        let queues = self.queues as usize;
        match self.backend {
            NicBackend::Tap { vhost: true } => (queues, queues),
            NicBackend::Tap { vhost: false } => (queues, 0),
            NicBackend::VhostUser { .. } | NicBackend::Vfio { .. } => (0, 0),
        }
    }
}
