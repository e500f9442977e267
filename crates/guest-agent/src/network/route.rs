//! The routes of the main tables, IPv4 and IPv6.
//!
//! Those that the kernel makes (of addresses, of routers' words) are neither listed nor removed, and one that is wanted
//! just as the kernel has made it is there already. Left alone are also those over the loopback interface, and those that
//! the protocol cannot express (several next hops, tunnels, other types than unicast).
//!
//! The protocol knows no metrics. Of several routes to one destination the first in the list is preferred: each gets the
//! next metric that is free.

use std::io;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use virtcontainers_types::net::Route;

use super::{
    NetworkError,
    link::{self, Link},
    netlink::{Netlink, Request, append, attributes, family, ip, number},
};

/// Bytes of `struct rtmsg`.
const HEADER: usize = 12;

/// A router's advertisement made it (`RTPROT_RA`).
const BY_ROUTER: u8 = 9;
/// A redirect made it (`RTPROT_REDIRECT`).
const BY_REDIRECT: u8 = 1;
/// The gateway is on the link, whatever the addresses say (`RTNH_F_ONLINK`).
const ONLINK: u32 = 4;
/// An entry of a cache (`RTM_F_CLONED`).
const CLONED: u32 = 0x200;
/// Any scope, in a deletion (`RT_SCOPE_NOWHERE`).
const ANY_SCOPE: u8 = 255;
/// The metric of the largest packet (`RTAX_MTU`).
const MTU: u16 = 2;
/// The metric that an IPv6 route has if none is given.
const IPV6_METRIC: u32 = 1024;

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The route; its device is not looked at.
    pub(crate) route: Route,
    /// The number of the link.
    pub(crate) link: u32,
    /// Its metric.
    pub(crate) metric: u32,
    /// Not the host's.
    pub(crate) is_kernels: bool,
}

impl Entry {
    /// Which routes exclude each other.
    fn place(&self) -> (bool, Option<IpNet>, u32) {
        (self.route.ipv6, self.route.destination, self.metric)
    }

    /// Whether both lead the same way.
    fn leads_as(&self, other: &Self) -> bool {
        let way = |entry: &Self| (entry.route.ipv6, entry.route.destination, entry.route.gateway, entry.link);
        way(self) == way(other)
    }

    fn same_as(&self, other: &Self) -> bool {
        self.metric == other.metric && self.link == other.link && {
            let (a, b) = (&self.route, &other.route);
            // IPv6 has no scopes.
            let scope = |route: &Route| if route.ipv6 { 0 } else { route.scope };
            (a.ipv6, a.destination, a.gateway, a.source, scope(a), a.flags & ONLINK, a.mtu)
                == (b.ipv6, b.destination, b.gateway, b.source, scope(b), b.flags & ONLINK, b.mtu)
        }
    }

    fn of_message(body: &[u8]) -> Option<Self> {
        let header = body.get(..HEADER)?;
        let (source_len, tos, protocol, kind) = (header[2], header[3], header[5], header[7]);
        let (mut table, flags) = (u32::from(header[4]), number(header, 8));
        let ipv6 = header[0] == family(true);
        if (!ipv6 && header[0] != family(false)) || kind != libc::RTN_UNICAST || flags & CLONED != 0 {
            return None;
        }
        let (mut to, mut link, mut metric) = (None, 0, 0);
        let mut route = Route {
            destination: None,
            gateway: None,
            device: String::new(),
            source: None,
            scope: header[6],
            flags: flags & ONLINK,
            mtu: 0,
            ipv6,
        };
        for attribute in attributes(body, HEADER) {
            let value = attribute.value();
            match attribute.kind() {
                libc::RTA_DST => to = ip(value),
                libc::RTA_OIF => link = number(value, 0),
                libc::RTA_GATEWAY => route.gateway = ip(value),
                libc::RTA_PREFSRC => route.source = ip(value),
                libc::RTA_PRIORITY => metric = number(value, 0),
                libc::RTA_TABLE => table = number(value, 0),
                libc::RTA_METRICS => {
                    let mtu = attributes(value, 0).find(|metric| metric.kind() == MTU);
                    route.mtu = mtu.map_or(0, |mtu| number(mtu.value(), 0));
                }
                // Several next hops, a next hop of another family, one by its number, a tunnel.
                libc::RTA_MULTIPATH | 18 | 30 | 22 => return None,
                _ => {}
            }
        }
        if let Some(to) = to {
            route.destination = Some(IpNet::new(to, header[1]).ok()?);
        }
        let is_main = table == u32::from(libc::RT_TABLE_MAIN) && tos == 0 && source_len == 0 && link > 0;
        let is_kernels = matches!(protocol, libc::RTPROT_KERNEL | BY_ROUTER | BY_REDIRECT);
        is_main.then_some(Self { route, link, metric, is_kernels })
    }

    fn request(&self, kind: u16, flags: u16) -> Request {
        let route = &self.route;
        let is_new = kind == libc::RTM_NEWROUTE;
        let mut header = [0; HEADER];
        header[0] = family(route.ipv6);
        header[1] = route.destination.map_or(0, |to| to.prefix_len());
        header[4] = libc::RT_TABLE_MAIN;
        if is_new {
            (header[5], header[6], header[7]) = (libc::RTPROT_STATIC, route.scope, libc::RTN_UNICAST);
            header[8..].copy_from_slice(&(route.flags & ONLINK).to_ne_bytes());
        } else {
            header[6] = ANY_SCOPE;
        }
        let mut request = Request::new(kind, flags, &header).with(libc::RTA_OIF, &self.link.to_ne_bytes());
        request = request.with(libc::RTA_PRIORITY, &self.metric.to_ne_bytes());
        for (kind, address) in [
            (libc::RTA_DST, route.destination.map(|to| to.addr())),
            (libc::RTA_GATEWAY, route.gateway),
            (libc::RTA_PREFSRC, route.source.filter(|_| is_new)),
        ] {
            if let Some(address) = address {
                request = request.with_address(kind, address);
            }
        }
        if route.mtu > 0 && is_new {
            let mut metrics = Vec::new();
            append(&mut metrics, MTU, &route.mtu.to_ne_bytes());
            request = request.with(libc::RTA_METRICS, &metrics);
        }
        request
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.route.destination {
            Some(to) => write!(f, "{to}")?,
            None => write!(f, "default (IPv{})", if self.route.ipv6 { 6 } else { 4 })?,
        }
        if let Some(gateway) = self.route.gateway {
            write!(f, " by way of {gateway}")?;
        }
        write!(f, " over {}", self.route.device)
    }
}

/// A change of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A route that is missing.
    Add(Entry),
    /// A route in the place of another, at once.
    Replace { old: Entry, new: Entry },
    /// One that is not wanted.
    Remove(Entry),
}

impl Step {
    fn undo(self) -> Self {
        match self {
            Self::Add(entry) => Self::Remove(entry),
            Self::Replace { old, new } => Self::Replace { old: new, new: old },
            Self::Remove(entry) => Self::Add(entry),
        }
    }

    fn take(&self, netlink: &mut Netlink) -> io::Result<()> {
        let request = match self {
            Self::Add(entry) => entry.request(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL),
            Self::Replace { new, .. } => new.request(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE),
            Self::Remove(entry) => match netlink.change(&entry.request(libc::RTM_DELROUTE, 0)) {
                // It is gone.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
                outcome => return outcome,
            },
        };
        netlink.change(&request)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(entry) => write!(f, "add route {entry}"),
            Self::Replace { new, .. } => write!(f, "set route {new}"),
            Self::Remove(entry) => write!(f, "remove route {entry}"),
        }
    }
}

/// How to get from the routes that are `held` to those `wanted`: what is to be there first, those on links before those
/// over gateways, which need them; then what is to go.
pub(crate) fn plan(held: &[Entry], wanted: &[Entry]) -> Vec<Step> {
    let (kernels, mut ours): (Vec<Entry>, Vec<Entry>) =
        held.iter().cloned().partition(|held| held.is_kernels);
    let mut places: Vec<_> = kernels.iter().map(Entry::place).collect();
    let mut missing = Vec::new();
    for wanted in wanted {
        if kernels.iter().any(|kernels| kernels.leads_as(wanted)) {
            continue;
        }
        let mut wanted = wanted.clone();
        while places.contains(&wanted.place()) {
            wanted.metric += 1;
        }
        places.push(wanted.place());
        match ours.iter().position(|held| held.same_as(&wanted)) {
            Some(at) => drop(ours.swap_remove(at)),
            None => missing.push(wanted),
        }
    }
    missing.sort_by_key(|missing| missing.route.gateway.is_some());
    let mut steps = Vec::new();
    for new in missing {
        match ours.iter().position(|held| held.place() == new.place()) {
            Some(at) => steps.push(Step::Replace { old: ours.swap_remove(at), new }),
            None => steps.push(Step::Add(new)),
        }
    }
    steps.extend(ours.into_iter().map(Step::Remove));
    steps
}

/// The routes of the main tables that are not the kernel's.
///
/// # Errors
/// [`NetworkError::Kernel`].
pub fn list() -> Result<Vec<Route>, NetworkError> {
    let mut netlink = open()?;
    let (_, held) = held(&mut netlink)?;
    Ok(held.into_iter().filter(|held| !held.is_kernels).map(|held| held.route).collect())
}

/// Brings the main tables to exactly these routes, but for those that are not the host's (see the [module](self)), and
/// tells which there are then: in the order of `wanted`, without those that the kernel had made already.
///
/// # Errors
/// [`NetworkError`]; what was changed by then is changed back.
pub fn update(wanted: Vec<Route>) -> Result<Vec<Route>, NetworkError> {
    let mut netlink = open()?;
    let (links, before) = held(&mut netlink)?;
    let entry = |route: Route| match links.iter().find(|link| link.name == route.device) {
        Some(link) => {
            let metric = if route.ipv6 { IPV6_METRIC } else { 0 };
            Ok(Entry { route, link: link.index, metric, is_kernels: false })
        }
        None => Err(NetworkError::NoInterface(route.device)),
    };
    let wanted = wanted.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let mut taken: Vec<Step> = Vec::new();
    for step in plan(&before, &wanted) {
        if let Err(source) = step.take(&mut netlink) {
            for taken in taken.into_iter().rev() {
                let undo = taken.undo();
                if let Err(error) = undo.take(&mut netlink) {
                    tracing::warn!(%error, "could not {undo}");
                }
            }
            return Err(NetworkError::Kernel { doing: step.to_string(), source });
        }
        taken.push(step);
    }
    let (_, mut after) = held(&mut netlink)?;
    after.retain(|held| !held.is_kernels);
    after.sort_by_key(|held| {
        (wanted.iter().position(|wanted| wanted.leads_as(held)).unwrap_or(usize::MAX), held.metric)
    });
    Ok(after.into_iter().map(|held| held.route).collect())
}

fn open() -> Result<Netlink, NetworkError> {
    Netlink::open().map_err(NetworkError::kernel(|| "open a netlink socket".to_owned()))
}

/// All links, and the routes over them with their names.
fn held(netlink: &mut Netlink) -> Result<(Vec<Link>, Vec<Entry>), NetworkError> {
    let doing = || "list the guest's routes".to_owned();
    let links = link::all(netlink).map_err(NetworkError::kernel(doing))?;
    let mut entries = entries(netlink).map_err(NetworkError::kernel(doing))?;
    entries.retain_mut(|entry| {
        let link = links.iter().find(|link| link.index == entry.link && !link.is_loopback());
        link.is_some_and(|link| {
            entry.route.device.clone_from(&link.name);
            true
        })
    });
    Ok((links, entries))
}

fn entries(netlink: &mut Netlink) -> io::Result<Vec<Entry>> {
    netlink.list(&Request::new(libc::RTM_GETROUTE, 0, &[0; HEADER]), Entry::of_message)
}

/// The routes over a link that the kernel will not make again by itself.
pub(super) fn over(netlink: &mut Netlink, link: u32) -> io::Result<Vec<Entry>> {
    let entries = entries(netlink)?.into_iter();
    Ok(entries.filter(|entry| entry.link == link && !entry.is_kernels).collect())
}

/// Adds routes that a link has lost for a moment.
pub(super) fn give_back(netlink: &mut Netlink, entries: &[Entry]) -> io::Result<()> {
    let (on_link, over_gateway): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.route.gateway.is_none());
    for entry in on_link.into_iter().chain(over_gateway) {
        match Step::Add(entry.clone()).take(netlink) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
