//! Neighbours that need not be looked for.

use virtcontainers_types::net::Neighbor;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};

use super::{
    NetworkError, link,
    netlink::{Netlink, Request, family},
};

/// Tells the kernel of each, in place of what it knew.
///
/// # Errors
/// [`NetworkError`]; those before the one that failed stay.
pub fn add(neighbors: &[Neighbor]) -> Result<(), NetworkError> {
    let doing = || "list the guest's links".to_owned();
    let mut netlink = Netlink::open().map_err(NetworkError::kernel(doing))?;
    let links = link::all(&mut netlink).map_err(NetworkError::kernel(doing))?;
    let index = |name: &String| links.iter().find(|link| link.name == *name).map(|link| link.index);
    // None is added if one has nowhere to go.
    if let Some(lost) = neighbors.iter().find(|neighbor| index(&neighbor.device).is_none()) {
        return Err(NetworkError::NoInterface(lost.device.clone()));
    }
    for neighbor in neighbors {
        let Some(link) = index(&neighbor.device) else { continue };
        let doing = || format!("add neighbour {} over {}", neighbor.address, neighbor.device);
        netlink.change(&message(neighbor, link)).map_err(NetworkError::kernel(doing))?;
    }
    Ok(())
}

/// `struct ndmsg` and the two addresses.
fn message(neighbor: &Neighbor, link: u32) -> Request {
    let state = if neighbor.state == 0 { libc::NUD_PERMANENT } else { neighbor.state };
    let mut header = [0; 12];
    header[0] = family(neighbor.address.is_ipv6());
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header[10] = neighbor.flags;
    Request::new(libc::RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header)
        .with_address(libc::NDA_DST, neighbor.address)
        .with(libc::NDA_LLADDR, &neighbor.mac.0)
}
