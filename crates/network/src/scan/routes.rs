//! Routes that the guest must be told of.
//!
//! Left out is what the guest's kernel makes by itself: the local table, and the networks of its addresses. Of what the
//! kernel made, only the way to a point-to-point peer is told, for the guest's addresses name no peers. Routes from a router's
//! announcements are left to the guest, which hears them too.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use std::net::IpAddr;

use futures::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};
use virtcontainers_types::net::Route;

use super::{Link, refused};
use crate::NetworkError;

/// The tables of which the guest's kernel makes its own.
const LOCAL_TABLE: u32 = 255;
const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

pub(super) async fn read(
    handle: &Handle,
    links: &[Link],
    peers: &[(u32, IpNet)],
) -> Result<Vec<Route>, NetworkError> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut all = RouteMessageBuilder::<IpAddr>::new().build();
        all.header.address_family = family;
        let messages: Vec<RouteMessage> =
            handle.route().get(all).execute().try_collect().await.map_err(refused("list the routes"))?;
        routes.extend(messages.iter().filter_map(|message| route(message, links, peers)));
    }
    // A gateway must be within reach when its route is made.
    routes.sort_by_key(|route| route.gateway.is_some());
    Ok(routes)
}

/// What a message tells of a route that the guest is to have.
pub(super) fn route(message: &RouteMessage, links: &[Link], peers: &[(u32, IpNet)]) -> Option<Route> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let (mut destination, mut gateway, mut source, mut oif, mut mtu) = (None, None, None, None, 0);
    let mut hops: &[_] = &[];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = Some(ip(address)?),
            RouteAttribute::Gateway(address) => gateway = Some(ip(address)?),
            RouteAttribute::PrefSource(address) => source = Some(ip(address)?),
            RouteAttribute::Oif(index) => oif = Some(*index),
            RouteAttribute::MultiPath(found) => hops = found,
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics
                    .iter()
                    .find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None })
                    .unwrap_or(0);
            }
            RouteAttribute::Via(_) => {
                tracing::warn!(?message, "a route over a gateway of the other family is not carried over");
                return None;
            }
            _ => {}
        }
    }
    if table == LOCAL_TABLE || header.kind != RouteType::Unicast || header.flags.contains(RouteFlags::Cloned)
    {
        return None;
    }
    if let (None, Some(hop)) = (oif, hops.first()) {
        tracing::warn!(?message, "of a route with several ways the first is carried over");
        oif = Some(hop.interface_index);
        gateway = hop.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(address) => ip(address),
            _ => None,
        });
    }
    let link = links.iter().find(|link| Some(link.index) == oif)?;
    if table != MAIN_TABLE {
        tracing::warn!(table, link = link.name, "a route of another table than main is not carried over");
        return None;
    }
    let length = header.destination_prefix_length;
    let destination = match destination {
        Some(address) => Some(IpNet::new(address, length).ok()?),
        None if length == 0 => None,
        None => return None,
    };
    let to_peer = || destination.is_some_and(|net| peers.contains(&(link.index, net)));
    let left_out = match header.protocol {
        RouteProtocol::Kernel => !to_peer(),
        RouteProtocol::Ra => true,
        _ => false,
    };
    let on_lo = link.kind == super::LinkKind::Loopback;
    let mine = destination.is_none_or(|net| !net.addr().is_multicast());
    (!left_out && !on_lo && mine).then(|| Route {
        destination,
        gateway,
        device: link.name.clone(),
        source,
        scope: header.scope.into(),
        flags: (header.flags & RouteFlags::Onlink).bits(),
        mtu,
        ipv6: header.address_family == AddressFamily::Inet6,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
