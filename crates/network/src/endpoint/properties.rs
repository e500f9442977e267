//! What every endpoint knows of its link.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use virtcontainers_types::net::{Interface, MacAddr, PciPath};

use crate::Link;

/// `IFF_NOARP`.
const NO_ARP: u32 = 0x80;

/// What an endpoint knows of its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// The machine's name for the network card.
    pub id: String,
    /// The link's name, on the host and in the guest.
    pub name: String,
    /// The link's index in its namespace.
    pub index: u32,
    /// The hardware address that the guest's interface has.
    pub mac: MacAddr,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// The addresses that the guest's interface has.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// The link's kind, as netlink names it.
    #[serde(default)]
    pub kind: String,
    /// Whether the link does without address resolution.
    #[serde(default)]
    pub no_arp: bool,
}

impl Properties {
    pub(super) fn new(id: &str, link: &Link, mac: MacAddr) -> Self {
        Self {
            id: id.to_owned(),
            name: link.name.clone(),
            index: link.index,
            mac,
            mtu: link.mtu,
            addresses: link.addresses.clone(),
            kind: link.kind.as_str().to_owned(),
            no_arp: link.no_arp,
        }
    }

    pub(super) fn interface(&self, pci_path: Option<PciPath>) -> Interface {
        Interface {
            device: self.name.clone(),
            name: self.name.clone(),
            mac: self.mac,
            addresses: self.addresses.clone(),
            mtu: self.mtu,
            pci_path,
            kind: self.kind.clone(),
            raw_flags: if self.no_arp { NO_ARP } else { 0 },
        }
    }
}
