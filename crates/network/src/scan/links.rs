//! Links, and what each of them is.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use futures::TryStreamExt as _;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoTun, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::{Handle, packet_core::Nla as _};
use virtcontainers_types::net::MacAddr;

use super::{Link, LinkKind, PciDevice, refused};
use crate::{NetworkError, model, vfio::PciBus};

/// Devices that a namespace has from the start once a tunnel's module is loaded.
const FALLBACK_TUNNELS: [&str; 9] =
    ["tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"];

/// What a tap's description tells (`IFLA_TUN_*`).
const TUN_TYPE: u16 = 3;
const TUN_VNET_HDR: u16 = 5;
const TUN_MULTI_QUEUE: u16 = 7;
const TUN_NUM_QUEUES: u16 = 8;
/// `IFF_TAP`, as the type of a tun.
const TYPE_TAP: u32 = 2;

pub(super) async fn read(handle: &Handle) -> Result<Vec<Link>, NetworkError> {
    let messages: Vec<LinkMessage> =
        handle.link().get().execute().try_collect().await.map_err(refused("list the links"))?;
    let mut links: Vec<_> = messages.iter().map(link).collect();
    links.sort_by_key(|link| link.index);
    let resting = links.iter().filter(|link| link.up && !model::is_ours(&link.name));
    let resting: Vec<_> =
        resting.filter_map(|link| Some((link.below?, link.kind == LinkKind::Vlan))).collect();
    for (below, vlan) in resting {
        if let Some(carrier) = links.iter_mut().find(|link| link.index == below) {
            *(if vlan { &mut carrier.carries_vlans } else { &mut carrier.carries_others }) = true;
        }
    }
    Ok(links)
}

/// What a message tells of a link.
pub(super) fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: LinkKind::Device,
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        no_arp: message.header.flags.contains(LinkFlags::Noarp),
        addresses: Vec::new(),
        below: None,
        master: None,
        pci: None,
        carries_vlans: false,
        carries_others: false,
    };
    let mut info: &[LinkInfo] = &[];
    let (mut carrier, mut elsewhere, mut bus, mut device) = (false, false, "", "");
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(bytes) if message.header.link_layer_type == LinkLayerType::Ether => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr);
            }
            LinkAttribute::Link(below) => link.below = Some(*below),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::Carrier(up) => carrier = *up != 0,
            LinkAttribute::LinkInfo(found) => info = found,
            LinkAttribute::ParentDevBusName(name) => bus = name,
            LinkAttribute::ParentDevName(name) => device = name,
            _ => {}
        }
    }
    link.kind = kind(message, info, carrier, &link.name);
    if elsewhere || link.kind == LinkKind::Veth || link.below == Some(0) {
        link.below = None;
    }
    if bus == "pci" {
        link.pci = Some(PciDevice { address: device.to_owned(), driver: PciBus::host().driver(device) });
    }
    link
}

fn kind(message: &LinkMessage, info: &[LinkInfo], carrier: bool, name: &str) -> LinkKind {
    if message.header.flags.contains(LinkFlags::Loopback) {
        return LinkKind::Loopback;
    }
    let told = info.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    let Some(told) = told else { return LinkKind::Device };
    if FALLBACK_TUNNELS.contains(&name) {
        return LinkKind::FallbackTunnel { kind: told.to_string() };
    }
    match told {
        InfoKind::Veth => LinkKind::Veth,
        InfoKind::MacVlan => LinkKind::Macvlan,
        InfoKind::IpVlan => LinkKind::Ipvlan,
        InfoKind::MacVtap => LinkKind::Macvtap,
        InfoKind::Vlan => LinkKind::Vlan,
        InfoKind::Bridge => LinkKind::Bridge,
        InfoKind::Tun => tun(info, carrier),
        other => LinkKind::Other { kind: other.to_string() },
    }
}

fn tun(info: &[LinkInfo], carrier: bool) -> LinkKind {
    let value = |wanted: u16| {
        let data = info.iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Tun(data)) => Some(data),
            _ => None,
        })?;
        data.iter().find_map(|attribute| match attribute {
            InfoTun::Other(raw) if raw.kind() == wanted => Some(number(raw)),
            _ => None,
        })
    };
    if value(TUN_TYPE) != Some(TYPE_TAP) {
        return LinkKind::Tun;
    }
    let multi_queue = value(TUN_MULTI_QUEUE).unwrap_or(0) != 0;
    let held = if multi_queue { value(TUN_NUM_QUEUES).unwrap_or(0) != 0 } else { carrier };
    LinkKind::Tap { multi_queue, held, vnet_hdr: value(TUN_VNET_HDR).unwrap_or(0) != 0 }
}

/// An attribute's bytes as a number of this machine, the first four at most.
fn number(attribute: &rtnetlink::packet_core::DefaultNla) -> u32 {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    let mut bytes = [0; 4];
    for (place, byte) in bytes.iter_mut().zip(value) {
        *place = byte;
    }
    u32::from_ne_bytes(bytes)
}
