//! Neighbours that somebody set for good: the guest cannot learn them.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use std::net::IpAddr;

use futures::TryStreamExt as _;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::Handle;
use virtcontainers_types::net::{MacAddr, Neighbor};

use super::{Link, LinkKind, refused};
use crate::NetworkError;

pub(super) async fn read(handle: &Handle, links: &[Link]) -> Result<Vec<Neighbor>, NetworkError> {
    let messages: Vec<NeighbourMessage> =
        handle.neighbours().get().execute().try_collect().await.map_err(refused("list the neighbours"))?;
    Ok(messages.iter().filter_map(|message| neighbor(message, links)).collect())
}

fn neighbor(message: &NeighbourMessage, links: &[Link]) -> Option<Neighbor> {
    let header = &message.header;
    let link = links.iter().find(|link| link.index == header.ifindex)?;
    let proxy = header.flags.contains(NeighbourFlags::Proxy);
    if header.state != NeighbourState::Permanent || proxy || link.kind == LinkKind::Loopback {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                address = Some(IpAddr::from(*found));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => {
                address = Some(IpAddr::from(*found));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr);
            }
            _ => {}
        }
    }
    Some(Neighbor {
        address: address.filter(|address| !address.is_multicast())?,
        device: link.name.clone(),
        mac: mac?,
        state: header.state.into(),
        flags: header.flags.bits(),
    })
}
