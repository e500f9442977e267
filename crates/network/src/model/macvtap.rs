//! The macvtap model: a macvtap in passthru mode on top of the link.
//!
//! It takes the link's hardware address for its own, and all unicast frames that come in: the link itself stays as it is,
//! with its address, its routes and its neighbours, so there is nothing to be put back. To broadcast questions that both
//! hear, namespace and guest give the same answer.

use std::os::fd::OwnedFd;

use netlink_packet_route::link::MacVtapMode;
use rtnetlink::{Handle, LinkMacVtap, LinkUnspec};
use virtcontainers_sys::tap;

use super::{Join, index_of, present, remove};
use crate::{NetworkError, endpoint::Properties, netlink};

pub(super) async fn attach(
    handle: &Handle,
    link: &Properties,
    join: &Join,
) -> Result<Vec<OwnedFd>, NetworkError> {
    present(handle, link).await?;
    let new = LinkMacVtap::new(&join.tap, link.index, MacVtapMode::Passthrough).mtu(link.mtu).build();
    let made = handle.link().add(new).execute().await;
    made.map_err(netlink::link_error("make a macvtap on top", &link.name, link.index))?;
    let opened = open(handle, join).await;
    if opened.is_err()
        && let Err(error) = remove(handle, &join.tap).await
    {
        tracing::warn!(link = join.tap, %error, "a macvtap is left behind");
    }
    opened
}

async fn open(handle: &Handle, join: &Join) -> Result<Vec<OwnedFd>, NetworkError> {
    let index = index_of(handle, &join.tap).await?;
    let quiet = netlink::no_own_addresses(handle, index).await;
    quiet.map_err(NetworkError::link("turn off the own addresses", &join.tap, index))?;
    // All groups: the host does not know which ones the guest has joined. Before it is up, or the kernel counts that on the
    // link below too, and forgets to take it back.
    let groups = LinkUnspec::new_with_index(index).allmulticast(true).build();
    let up = LinkUnspec::new_with_index(index).up().build();
    for change in [groups, up] {
        let done = handle.link().set(change).execute().await;
        done.map_err(netlink::link_error("bring up", &join.tap, index))?;
    }
    let taps = join.queues.open(|_| tap::open_macvtap(&join.tap, index));
    taps.map_err(NetworkError::link("open the queues", &join.tap, index))
}
