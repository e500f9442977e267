//! Addresses, and which of them a guest makes by itself.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use std::net::{IpAddr, Ipv6Addr};

use futures::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};
use rtnetlink::Handle;
use virtcontainers_types::net::MacAddr;

use super::refused;
use crate::NetworkError;

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) link: u32,
    pub(super) net: IpNet,
    /// The other end, where that is told, and is no network that the address is in.
    pub(super) peer: Option<IpNet>,
    /// Who made it, where the kernel tells (since 5.18).
    pub(super) maker: Option<AddressProtocol>,
    pub(super) temporary: bool,
}

pub(super) async fn read(handle: &Handle) -> Result<Vec<Address>, NetworkError> {
    let messages: Vec<AddressMessage> =
        handle.address().get().execute().try_collect().await.map_err(refused("list the addresses"))?;
    Ok(messages.iter().filter_map(address).collect())
}

/// What a message tells; none where it names no unicast address.
pub(super) fn address(message: &AddressMessage) -> Option<Address> {
    let (mut own, mut far, mut maker) = (None, None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => far = Some(*address),
            AddressAttribute::Protocol(protocol) => maker = Some(*protocol),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // IPv6 tells only one of the two unless there is a peer; IPv4 tells the own address twice.
    let own = own.or(far)?;
    let far = far.filter(|far| *far != own);
    let length = message.header.prefix_len;
    // The length belongs to the peer; towards its own address a host of such a link has no network.
    let whole = if own.is_ipv4() { 32 } else { 128 };
    let net = IpNet::new(own, if far.is_some() { whole } else { length }).ok()?;
    let peer = far.and_then(|far| IpNet::new(far, length).ok()).map(|peer| peer.trunc());
    // On IPv6 this bit is that of a privacy address; on IPv4 that of a further address in the same network.
    let temporary = own.is_ipv6() && flags.contains(AddressFlags::Secondary);
    let usable = message.header.scope != AddressScope::Nowhere;
    usable.then_some(Address { link: message.header.index, net, peer, maker, temporary })
}

/// Whether the guest's kernel comes to this address by itself, as the host's did: a link-local address that the kernel made, or
/// one that it took from a router's announcement, which the guest hears too. A link-local address that somebody
/// set deliberately is none of these. Kernels before 5.18 do not tell; there the address made of the hardware address
/// is taken for the kernel's own.
pub(super) fn guest_makes_it(address: &Address, mac: Option<MacAddr>) -> bool {
    if matches!(address.maker, Some(AddressProtocol::LinkLocal | AddressProtocol::RouterAnnouncement)) {
        return true;
    }
    let IpAddr::V6(own) = address.net.addr() else { return false };
    address.temporary || mac.is_some_and(|mac| own == link_local_of(mac))
}

/// The link-local address that a kernel makes of a hardware address (RFC 4291, appendix A).
fn link_local_of(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
