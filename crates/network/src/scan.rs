//! What is in a network namespace, read in one pass.
//!
//! The scan tells what a guest is to have so that it sees what a container would: of addresses, routes and neighbours only
//! those which the guest's kernel does not make by itself. Links are all told; [`Endpoint::choose`] knows which of them
//! are for the guest.
//!
//! [`Endpoint::choose`]: crate::Endpoint::choose

mod addresses;
mod links;
mod neighbors;
mod routes;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use virtcontainers_types::net::{MacAddr, Neighbor, Route};

use crate::{Inside, NetNs, NetworkError};

/// What is in a network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// Its links, in the order of their indices.
    pub links: Vec<Link>,
    /// Routes of the main table that the guest must be told of, each after the ones that its gateway needs.
    pub routes: Vec<Route>,
    /// Permanent neighbours.
    pub neighbors: Vec<Neighbor>,
}

/// A link of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its index, unique in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Its hardware address, where it has one of Ethernet.
    pub mac: Option<MacAddr>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it does without address resolution (`IFF_NOARP`).
    #[serde(default)]
    pub no_arp: bool,
    /// The addresses that the guest is to have.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// The link below it in the same namespace, as of a VLAN.
    #[serde(default)]
    pub below: Option<u32>,
    /// The bridge or bond that it is a port of.
    #[serde(default)]
    pub master: Option<u32>,
    /// The device on the PCI bus behind it.
    #[serde(default)]
    pub pci: Option<PciDevice>,
    /// Whether VLANs of this namespace that are up rest on it: they take its tagged frames.
    #[serde(default)]
    pub carries_vlans: bool,
    /// Whether other links of this namespace that are up rest on it (macvlan, ipvlan): which frames they take depends.
    #[serde(default)]
    pub carries_others: bool,
}

/// A device on the host's PCI bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    /// Its address, as `0000:03:00.0`.
    pub address: String,
    /// The host's driver that it is bound to.
    pub driver: Option<String>,
}

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[non_exhaustive]
pub enum LinkKind {
    /// The namespace's own loopback.
    Loopback,
    /// One end of a pair.
    Veth,
    /// A macvlan, whatever its mode.
    Macvlan,
    /// An ipvlan, whatever its mode.
    Ipvlan,
    /// A macvtap.
    Macvtap,
    /// A tap.
    Tap {
        /// Whether it has several queues.
        multi_queue: bool,
        /// Whether a process has it open: its frames belong to that one.
        held: bool,
        /// Whether virtio's header precedes its frames, as the last process to open it wanted.
        vnet_hdr: bool,
    },
    /// A tun: it carries packets, not frames.
    Tun,
    /// A VLAN.
    Vlan,
    /// A bridge.
    Bridge,
    /// A tunnel's device that each namespace has from the start (`sit0`, `tunl0`, …).
    FallbackTunnel {
        /// The kind that netlink tells.
        kind: String,
    },
    /// A device that no software made.
    Device,
    /// Anything else.
    Other {
        /// The kind that netlink tells.
        kind: String,
    },
}

impl LinkKind {
    /// The kind as netlink names it; `device` for one that no software made.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Macvtap => "macvtap",
            Self::Tap { .. } => "tap",
            Self::Tun => "tun",
            Self::Vlan => "vlan",
            Self::Bridge => "bridge",
            Self::Device => "device",
            Self::FallbackTunnel { kind } | Self::Other { kind } => kind,
        }
    }
}

impl NetworkInfo {
    /// The link with this name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// Reads what is in a namespace.
///
/// # Errors
/// [`NetworkError`], when the namespace cannot be entered or the kernel refuses a list.
pub async fn scan(namespace: &NetNs) -> Result<NetworkInfo, NetworkError> {
    namespace.run(async |inside: &Inside| read(inside).await).await?
}

/// The same from inside.
pub(crate) async fn read(inside: &Inside) -> Result<NetworkInfo, NetworkError> {
    let mut links = links::read(inside.handle()).await?;
    let mut peers = Vec::new();
    for address in addresses::read(inside.handle()).await? {
        let Some(link) = links.iter_mut().find(|link| link.index == address.link) else { continue };
        if addresses::guest_makes_it(&address, link.mac) {
            continue;
        }
        peers.extend(address.peer.map(|peer| (link.index, peer)));
        link.addresses.push(address.net);
    }
    let routes = routes::read(inside.handle(), &links, &peers).await?;
    let neighbors = neighbors::read(inside.handle(), &links).await?;
    Ok(NetworkInfo { links, routes, neighbors })
}

/// For `map_err`: what list the kernel refused.
fn refused(action: &'static str) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
    move |error| NetworkError::Namespace {
        action,
        hint: "see the kernel's reason",
        source: crate::netlink::io_error(error),
    }
}
