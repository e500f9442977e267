//! Interfaces, routes and neighbours as a guest tells them. The kata-agent leaves fields empty that ours fills in, writes
//! sources with a prefix, and lists the loopback interface too: all of that is taken.

use std::net::IpAddr;

use ipnet::IpNet;
use virtcontainers_agent_protocol::api::{agent as wire, types};
use virtcontainers_types::net::{Interface, MacAddr, Route};

use super::{MAX_INTERFACES, Reply, short};
use crate::error::AgentError;

/// Addresses of one interface.
pub const MAX_ADDRESSES: usize = 1024;
/// Routes of a guest.
pub const MAX_ROUTES: usize = 8192;

/// What UpdateInterface answered; nothing, if the interface in it has no name.
///
/// # Errors
/// As above.
pub fn updated_interface(message: types::Interface) -> Result<Option<Interface>, AgentError> {
    let interface = interface(Reply("UpdateInterface"), message)?;
    Ok(Some(interface).filter(|interface| !interface.name.is_empty()))
}

/// What ListInterfaces answered.
///
/// # Errors
/// As above.
pub fn interfaces(message: wire::Interfaces) -> Result<Vec<Interface>, AgentError> {
    let reply = Reply("ListInterfaces");
    reply.at_most("network interfaces", message.Interfaces.len(), MAX_INTERFACES)?;
    message.Interfaces.into_iter().map(|message| interface(reply, message)).collect()
}

/// What UpdateRoutes answered.
///
/// # Errors
/// As above.
pub fn updated_routes(message: wire::Routes) -> Result<Vec<Route>, AgentError> {
    all_routes(Reply("UpdateRoutes"), message)
}

/// What ListRoutes answered.
///
/// # Errors
/// As above.
pub fn routes(message: wire::Routes) -> Result<Vec<Route>, AgentError> {
    all_routes(Reply("ListRoutes"), message)
}

fn all_routes(reply: Reply, message: wire::Routes) -> Result<Vec<Route>, AgentError> {
    reply.at_most("routes", message.Routes.len(), MAX_ROUTES)?;
    message.Routes.into_iter().map(|message| route(reply, message)).collect()
}

fn interface(reply: Reply, message: types::Interface) -> Result<Interface, AgentError> {
    let name = reply.name("an interface's name", &message.name)?;
    let wrong = |what: &str, value: &str| {
        reply.refuse(format!("{:?} is no {what} of interface {name:?}", short(value)))
    };
    reply.at_most(&format!("addresses of interface {name:?}"), message.IPAddresses.len(), MAX_ADDRESSES)?;
    let addresses = message.IPAddresses.iter().map(|address| {
        let text = format!("{}/{}", address.address, address.mask);
        prefixed(text.trim_end_matches('/')).ok_or_else(|| wrong("address", &text))
    });
    let pci_path = match message.devicePath.as_str() {
        "" => None,
        path => Some(path.parse().ok().ok_or_else(|| wrong("PCI path", path))?),
    };
    Ok(Interface {
        device: reply.name("a device's name", &message.device)?,
        mac: hardware_address(&message.hwAddr).ok_or_else(|| wrong("hardware address", &message.hwAddr))?,
        addresses: addresses.collect::<Result<_, _>>()?,
        mtu: u32::try_from(message.mtu).ok().ok_or_else(|| wrong("MTU", &message.mtu.to_string()))?,
        pci_path,
        kind: reply.name("a kind of interface", &message.type_)?,
        raw_flags: message.raw_flags,
        name,
    })
}

/// All zeros for an interface that tells none, and for one whose addresses are not Ethernet's (tunnels have the four
/// bytes of an IPv4 address).
fn hardware_address(text: &str) -> Option<MacAddr> {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    match text.parse() {
        Ok(mac) => Some(mac),
        Err(_) if text.is_empty() => Some(MacAddr([0; 6])),
        Err(_) => {
            let other = text.len() <= 3 * 32 && text.split(':').count() != 6 && text.split(':').all(pair);
            other.then_some(MacAddr([0; 6]))
        }
    }
}

fn route(reply: Reply, message: types::Route) -> Result<Route, AgentError> {
    let device = reply.name("a device's name", &message.device)?;
    let wrong = |what: &str, value: &str| {
        reply.refuse(format!("{:?} is no {what} of a route over {device:?}", short(value)))
    };
    let ipv6 = match message.family.enum_value() {
        Ok(types::IPFamily::v4) => false,
        Ok(types::IPFamily::v6) => true,
        Err(number) => return Err(wrong("family", &number.to_string())),
    };
    let destination = match message.dest.as_str() {
        "" => None,
        dest => Some(prefixed(dest).ok_or_else(|| wrong("destination", dest))?),
    };
    let gateway = match message.gateway.as_str() {
        "" => None,
        gateway => Some(gateway.parse::<IpAddr>().ok().ok_or_else(|| wrong("gateway", gateway))?),
    };
    let source = match message.source.as_str() {
        "" => None,
        source => Some(prefixed(source).ok_or_else(|| wrong("source", source))?.addr()),
    };
    Ok(Route {
        // The family tells what a default route without a gateway is of; an address says it better.
        ipv6: destination.map(|to| to.addr()).or(gateway).map_or(ipv6, |address| address.is_ipv6()),
        destination: destination.filter(|to| to.prefix_len() > 0 || !to.addr().is_unspecified()),
        gateway: gateway.filter(|gateway| !gateway.is_unspecified()),
        source: source.filter(|source| !source.is_unspecified()),
        scope: u8::try_from(message.scope).ok().ok_or_else(|| wrong("scope", &message.scope.to_string()))?,
        flags: message.flags,
        mtu: message.mtu,
        device,
    })
}

/// `ADDRESS/LENGTH`, or an address alone.
fn prefixed(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
