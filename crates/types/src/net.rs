//! Network objects as host and guest speak of them: interfaces, routes, neighbours.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A hardware address (EUI-48), written `02:00:00:00:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

/// A text that is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no hardware address: give six pairs of hexadecimal digits joined by colons, as 02:00:00:00:00:01"
)]
pub struct InvalidMac(pub String);

impl MacAddr {
    /// Whether an interface may have it: neither a group's nor all zeros.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(invalid)?;
        }
        if pairs.next().is_some() { Err(invalid()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

/// A way through PCI bridges to a device: the slot on the root bus, then the slot behind each bridge. Written as the
/// Kata agent protocol does, `02/00`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciPath(Vec<u8>);

/// A text that is no PCI path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no PCI path: give slots from 00 to 1f joined by slashes, as 02/00")]
pub struct InvalidPciPath(pub String);

impl PciPath {
    /// A path of slots (0 to 31 each), at most 32 of them and at least one.
    ///
    /// # Errors
    /// [`InvalidPciPath`].
    pub fn new(slots: Vec<u8>) -> Result<Self, InvalidPciPath> {
        let path = Self(slots);
        let good = (1..=32).contains(&path.0.len()) && path.0.iter().all(|&slot| slot < 32);
        if good { Ok(path) } else { Err(InvalidPciPath(path.to_string())) }
    }

    /// The slots, from the root bus on.
    #[must_use]
    pub fn slots(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PciPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, slot) in self.0.iter().enumerate() {
            write!(f, "{}{slot:02x}", if place == 0 { "" } else { "/" })?;
        }
        Ok(())
    }
}

impl FromStr for PciPath {
    type Err = InvalidPciPath;

    fn from_str(text: &str) -> Result<Self, InvalidPciPath> {
        let slots: Option<_> = text
            .split('/')
            .map(|slot| {
                u8::from_str_radix(slot, 16).ok().filter(|_| slot.len() == 2 && !slot.starts_with('+'))
            })
            .collect();
        slots.and_then(|slots| Self::new(slots).ok()).ok_or_else(|| InvalidPciPath(text.to_owned()))
    }
}

impl TryFrom<String> for PciPath {
    type Error = InvalidPciPath;

    fn try_from(text: String) -> Result<Self, InvalidPciPath> {
        text.parse()
    }
}

impl From<PciPath> for String {
    fn from(path: PciPath) -> Self {
        path.to_string()
    }
}

/// A network interface of the guest (the reference document's `Interface`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The host's link behind it; empty where that is not told.
    #[serde(default)]
    pub device: String,
    /// Its name in the guest.
    pub name: String,
    /// Its hardware address, by which the guest finds it unless there is a path.
    pub mac: MacAddr,
    /// Its addresses, each with the length of its prefix.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Largest packet in bytes; 0 leaves what the guest's driver chose.
    #[serde(default)]
    pub mtu: u32,
    /// Where the guest finds it on its PCI bus.
    #[serde(default)]
    pub pci_path: Option<PciPath>,
    /// The kind of the host's link, as netlink names it (`veth`, `macvlan`, …); may be empty.
    #[serde(default)]
    pub kind: String,
    /// Interface flags that are to hold in the guest too: the bits of `IFF_NOARP` (0x80), others are left alone.
    #[serde(default)]
    pub raw_flags: u32,
}

/// A route of the guest (the reference document's `Route`), of the main table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to; none for the default route of the family.
    #[serde(default)]
    pub destination: Option<IpNet>,
    /// Over which neighbour; none where the destination is on the link.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Over which interface, by its name in the guest.
    pub device: String,
    /// The preferred source address.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Its scope as rtnetlink counts it: 0 global, 253 link, 254 host.
    #[serde(default)]
    pub scope: u8,
    /// Its flags as rtnetlink has them: 4 for a gateway that is on the link whatever the addresses say.
    #[serde(default)]
    pub flags: u32,
    /// Largest packet in bytes on this way; 0 for the interface's.
    #[serde(default)]
    pub mtu: u32,
    /// Whether it is of IPv6. Told apart, for a default route without a gateway names no address.
    #[serde(default)]
    pub ipv6: bool,
}

/// A neighbour that the guest is told of, instead of asking for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// Over which interface, by its name in the guest.
    pub device: String,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its state as rtnetlink has it: 0x80 for permanent.
    #[serde(default)]
    pub state: u16,
    /// Its flags as rtnetlink has them.
    #[serde(default)]
    pub flags: u8,
}
