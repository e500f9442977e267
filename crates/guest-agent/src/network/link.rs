//! Links: what there is, and single changes of one.

use std::io;

use virtcontainers_types::net::MacAddr;

use super::netlink::{Netlink, Request, append, attributes, number};

/// Bytes of `struct ifinfomsg`.
const HEADER: usize = 16;

/// The interface is up.
const UP: u32 = libc::IFF_UP.cast_unsigned();
/// It is the loopback interface.
const LOOPBACK: u32 = libc::IFF_LOOPBACK.cast_unsigned();
/// It resolves no neighbours.
pub const NOARP: u32 = libc::IFF_NOARP.cast_unsigned();

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; all zeros if it has none of Ethernet's.
    pub mac: MacAddr,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// `IFF_*` bits.
    pub flags: u32,
    /// What virtual device it is; empty for a real one.
    pub kind: String,
}

impl Link {
    /// Whether it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    /// Whether it is the loopback interface, which is not the host's to change.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.flags & LOOPBACK != 0
    }

    fn of_message(body: &[u8]) -> Option<Self> {
        let mut link = Self {
            index: number(body, 4),
            name: String::new(),
            mac: MacAddr([0; 6]),
            mtu: 0,
            flags: number(body, 8),
            kind: String::new(),
        };
        for attribute in attributes(body, HEADER) {
            let value = attribute.value();
            match attribute.kind() {
                libc::IFLA_IFNAME => link.name = text(value),
                libc::IFLA_ADDRESS => link.mac = value.try_into().map(MacAddr).unwrap_or(link.mac),
                libc::IFLA_MTU => link.mtu = number(value, 0),
                libc::IFLA_LINKINFO => {
                    let kind = attributes(value, 0).find(|part| part.kind() == libc::IFLA_INFO_KIND);
                    link.kind = kind.map(|kind| text(kind.value())).unwrap_or_default();
                }
                _ => {}
            }
        }
        (link.index > 0 && !link.name.is_empty()).then_some(link)
    }
}

/// A text that ends with a zero byte.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// All links, the loopback interface too.
///
/// # Errors
/// The kernel's.
pub fn all(netlink: &mut Netlink) -> io::Result<Vec<Link>> {
    netlink.list(&Request::new(libc::RTM_GETLINK, 0, &[0; HEADER]), Link::of_message)
}

/// Changes to make to a link; what is absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// Its name, which it gets while it is down only (kernels before 6.2).
    pub name: Option<&'a str>,
    /// Largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Whether it is up.
    pub up: Option<bool>,
    /// Whether it resolves no neighbours.
    pub noarp: Option<bool>,
}

/// Makes changes to the link of a number.
///
/// # Errors
/// The kernel's.
pub fn set(netlink: &mut Netlink, index: u32, change: Change<'_>) -> io::Result<()> {
    let (mut flags, mut mask) = (0, 0);
    for (bit, wanted) in [(UP, change.up), (NOARP, change.noarp)] {
        if let Some(wanted) = wanted {
            mask |= bit;
            flags |= if wanted { bit } else { 0 };
        }
    }
    let mut body = vec![0; HEADER];
    for (at, value) in [(4, index), (8, flags), (12, mask)] {
        body[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    if let Some(name) = change.name {
        append(&mut body, libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    }
    if let Some(mtu) = change.mtu {
        append(&mut body, libc::IFLA_MTU, &mtu.to_ne_bytes());
    }
    netlink.change(&Request::new(libc::RTM_NEWLINK, 0, &body))
}
