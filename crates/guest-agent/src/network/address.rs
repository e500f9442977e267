//! Addresses of links.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::netlink::{Netlink, Request, attributes, family, ip, number};

/// Bytes of `struct ifaddrmsg`.
const HEADER: usize = 8;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address and the length of its prefix.
    pub net: IpNet,
    /// Somebody has given it, other than those that come of router advertisements and expire.
    pub permanent: bool,
}

impl Address {
    /// Whether the kernel made it, or a router's word: not the host's to take away.
    #[must_use]
    pub fn is_kernels(&self) -> bool {
        match self.net.addr() {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local() || !self.permanent,
        }
    }

    fn of_message(body: &[u8]) -> Option<Self> {
        let prefix = *body.get(1)?;
        let mut flags = u32::from(*body.get(2)?);
        let (mut address, mut local) = (None, None);
        for attribute in attributes(body, HEADER) {
            match attribute.kind() {
                // Of a point-to-point link it is the other end's.
                libc::IFA_ADDRESS => address = ip(attribute.value()),
                libc::IFA_LOCAL => local = ip(attribute.value()),
                libc::IFA_FLAGS => flags = number(attribute.value(), 0),
                _ => {}
            }
        }
        let net = IpNet::new(local.or(address)?, prefix).ok()?;
        Some(Self { link: number(body, 4), net, permanent: flags & libc::IFA_F_PERMANENT != 0 })
    }
}

/// All addresses of all links.
///
/// # Errors
/// The kernel's.
pub fn all(netlink: &mut Netlink) -> io::Result<Vec<Address>> {
    netlink.list(&Request::new(libc::RTM_GETADDR, 0, &[0; HEADER]), Address::of_message)
}

/// Gives a link an address: an IPv6 one is used at once, without asking whether others have it; an IPv4 one comes with
/// the broadcast address of its network.
///
/// # Errors
/// The kernel's.
pub fn add(netlink: &mut Netlink, link: u32, net: IpNet) -> io::Result<()> {
    let mut request = message(libc::RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link, net);
    match net {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            request = request.with_address(libc::IFA_BROADCAST, IpAddr::from(net.broadcast()));
        }
        IpNet::V4(_) => {}
        IpNet::V6(_) => request = request.with(libc::IFA_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes()),
    }
    netlink.change(&request)
}

/// Takes an address from a link. One that is gone is as good.
///
/// # Errors
/// The kernel's.
pub fn remove(netlink: &mut Netlink, link: u32, net: IpNet) -> io::Result<()> {
    match netlink.change(&message(libc::RTM_DELADDR, 0, link, net)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
        outcome => outcome,
    }
}

fn message(kind: u16, flags: u16, link: u32, net: IpNet) -> Request {
    let address = net.addr();
    let [a, b, c, d] = link.to_ne_bytes();
    let header = [family(address.is_ipv6()), net.prefix_len(), 0, 0, a, b, c, d];
    let request = Request::new(kind, flags, &header).with_address(libc::IFA_LOCAL, address);
    request.with_address(libc::IFA_ADDRESS, address)
}
