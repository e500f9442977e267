//! The protocol's messages about the network, and what they mean. A message that makes no sense is refused here, with the
//! name of what is wrong in it.

use std::{fmt::Display, net::IpAddr};

use ipnet::IpNet;
use virtcontainers_agent_protocol::api::{
    agent::{ARPNeighbors, Interfaces, Routes},
    types::{self, IPFamily},
};
use virtcontainers_types::net::{Interface, MacAddr, Neighbor, Route};

use crate::error::CallError;

/// Addresses of one interface in a request.
const MAX_ADDRESSES: usize = 1024;

/// Routes in a request.
const MAX_ROUTES: usize = 8192;

/// Neighbours in a request.
const MAX_NEIGHBORS: usize = 8192;

/// The longest name of an interface (`IFNAMSIZ`, without the zero at its end).
const MAX_NAME: usize = 15;

fn invalid(field: &'static str, value: &str, reason: impl Display) -> CallError {
    let value: String = value.chars().take(64).collect();
    CallError::Invalid { field, reason: format!("{value:?}: {reason}") }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), CallError> {
    if count > limit { Err(CallError::TooMany { what, limit }) } else { Ok(()) }
}

/// The interface that UpdateInterface is about. Its hardware address is all zeros where only its PCI path was given.
///
/// # Errors
/// [`CallError::Invalid`], [`CallError::TooMany`].
pub fn interface(message: types::Interface) -> Result<Interface, CallError> {
    at_most("addresses of one interface", message.IPAddresses.len(), MAX_ADDRESSES)?;
    let name = interface_name("interface.name", &message.name)?;
    let pci_path = match message.devicePath.as_str() {
        "" => None,
        path => Some(path.parse().map_err(|error| invalid("interface.devicePath", path, &error))?),
    };
    let mac = match message.hwAddr.as_str() {
        "" if pci_path.is_some() => MacAddr([0; 6]),
        text => unicast("interface.hwAddr", text)?,
    };
    let mut addresses = Vec::new();
    for address in &message.IPAddresses {
        let address = prefixed("interface.IPAddresses", address)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mtu = u32::try_from(message.mtu).map_err(|error| CallError::Invalid {
        field: "interface.mtu",
        reason: format!("{}: {error}", message.mtu),
    })?;
    Ok(Interface {
        device: message.device,
        name,
        mac,
        addresses,
        mtu,
        pci_path,
        kind: message.type_,
        raw_flags: message.raw_flags,
    })
}

/// The routes of UpdateRoutes.
///
/// # Errors
/// As above.
pub fn routes(message: Routes) -> Result<Vec<Route>, CallError> {
    at_most("routes in one UpdateRoutes", message.Routes.len(), MAX_ROUTES)?;
    message.Routes.into_iter().map(route).collect()
}

fn route(message: types::Route) -> Result<Route, CallError> {
    let device = interface_name("routes.device", &message.device)?;
    let is_v6 = match message.family.enum_value() {
        Ok(IPFamily::v4) => false,
        Ok(IPFamily::v6) => true,
        Err(number) => return Err(invalid("routes.family", &number.to_string(), "it is no address family")),
    };
    let destination = match message.dest.as_str() {
        "" => None,
        text => Some(network("routes.dest", text)?),
    };
    let gateway = match message.gateway.as_str() {
        "" => None,
        text => Some(ip("routes.gateway", text)?),
    };
    let source = match message.source.as_str() {
        "" => None,
        // The address of an interface, with or without its prefix.
        text => Some(ip("routes.source", text.split_once('/').map_or(text, |(address, _)| address))?),
    };
    let told = [destination.map(|to| to.addr()), gateway, source];
    let ipv6 = told.iter().flatten().next().map_or(is_v6, IpAddr::is_ipv6);
    if told.iter().flatten().any(|address| address.is_ipv6() != ipv6) {
        return Err(invalid("routes", &message.dest, "destination, gateway and source are of one family"));
    }
    let scope = u8::try_from(message.scope)
        .map_err(|error| invalid("routes.scope", &message.scope.to_string(), error))?;
    Ok(Route {
        destination: destination.filter(|to| to.prefix_len() > 0),
        gateway: gateway.filter(|gateway| !gateway.is_unspecified()),
        device,
        source,
        scope,
        flags: message.flags,
        mtu: message.mtu,
        ipv6,
    })
}

/// The neighbours of AddARPNeighbors.
///
/// # Errors
/// As above.
pub fn neighbors(message: ARPNeighbors) -> Result<Vec<Neighbor>, CallError> {
    at_most("neighbours in one AddARPNeighbors", message.ARPNeighbors.len(), MAX_NEIGHBORS)?;
    message.ARPNeighbors.into_iter().map(neighbor).collect()
}

fn neighbor(message: types::ARPNeighbor) -> Result<Neighbor, CallError> {
    let text = &message.toIPAddress.address;
    let address = ip("neighbors.toIPAddress", text)?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(invalid("neighbors.toIPAddress", text, "it is no neighbour's"));
    }
    let number = |field, value: i32| invalid(field, &value.to_string(), "it is out of range");
    Ok(Neighbor {
        address,
        device: interface_name("neighbors.device", &message.device)?,
        mac: unicast("neighbors.lladdr", &message.lladdr)?,
        state: u16::try_from(message.state).ok().ok_or_else(|| number("neighbors.state", message.state))?,
        flags: u8::try_from(message.flags).ok().ok_or_else(|| number("neighbors.flags", message.flags))?,
    })
}

/// A name as the kernel takes it, of another interface than the loopback one.
fn interface_name(field: &'static str, name: &str) -> Result<String, CallError> {
    let has_odd =
        name.contains(|c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control());
    if name.is_empty() || name.len() > MAX_NAME || has_odd || matches!(name, "." | "..") {
        return Err(invalid(
            field,
            name,
            "it is no name of an interface: 1 to 15 bytes without blanks, / : and %",
        ));
    }
    if name == "lo" {
        return Err(invalid(field, name, "the loopback interface is the guest's own"));
    }
    Ok(name.to_owned())
}

fn unicast(field: &'static str, text: &str) -> Result<MacAddr, CallError> {
    let mac: MacAddr = text.parse().map_err(|error| invalid(field, text, &error))?;
    if mac.is_unicast() {
        Ok(mac)
    } else {
        Err(invalid(field, text, "no interface has it: it is a group's, or zero"))
    }
}

fn ip(field: &'static str, text: &str) -> Result<IpAddr, CallError> {
    text.parse().map_err(|error| invalid(field, text, &error))
}

/// An address that an interface may have, and its prefix; alone if none is given.
fn prefixed(field: &'static str, message: &types::IPAddress) -> Result<IpNet, CallError> {
    let address = ip(field, &message.address)?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(invalid(field, &message.address, "no interface has it"));
    }
    if message.mask.is_empty() {
        return Ok(IpNet::from(address));
    }
    let prefix = message.mask.parse::<u8>().ok().and_then(|length| IpNet::new(address, length).ok());
    prefix.ok_or_else(|| {
        let reason = format!("it is no length of the prefix of {address}");
        invalid("interface.IPAddresses.mask", &message.mask, reason)
    })
}

/// A destination: a network, or a single address.
fn network(field: &'static str, text: &str) -> Result<IpNet, CallError> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(error) => IpNet::from(text.parse::<IpAddr>().map_err(|_not_alone| invalid(field, text, &error))?),
    };
    if network.trunc() == network {
        return Ok(network);
    }
    Err(invalid(field, text, format!("there are bits beyond its prefix: {} is the network", network.trunc())))
}

/// An interface as a message.
#[must_use]
pub fn to_interface(interface: Interface) -> types::Interface {
    let addresses = interface.addresses.iter().map(|net| types::IPAddress {
        family: family(net.addr().is_ipv6()).into(),
        address: net.addr().to_string(),
        mask: net.prefix_len().to_string(),
        ..Default::default()
    });
    types::Interface {
        IPAddresses: addresses.collect(),
        device: interface.device,
        name: interface.name,
        mtu: interface.mtu.into(),
        hwAddr: interface.mac.to_string(),
        devicePath: interface.pci_path.map(|path| path.to_string()).unwrap_or_default(),
        type_: interface.kind,
        raw_flags: interface.raw_flags,
        ..Default::default()
    }
}

/// Interfaces as a message.
#[must_use]
pub fn to_interfaces(interfaces: Vec<Interface>) -> Interfaces {
    let interfaces = interfaces.into_iter().map(to_interface).collect();
    Interfaces { Interfaces: interfaces, ..Default::default() }
}

/// Routes as a message.
#[must_use]
pub fn to_routes(routes: Vec<Route>) -> Routes {
    let routes = routes.into_iter().map(|route| types::Route {
        dest: route.destination.map(|to| to.to_string()).unwrap_or_default(),
        gateway: route.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        device: route.device,
        source: route.source.map(|source| source.to_string()).unwrap_or_default(),
        scope: route.scope.into(),
        family: family(route.ipv6).into(),
        flags: route.flags,
        mtu: route.mtu,
        ..Default::default()
    });
    Routes { Routes: routes.collect(), ..Default::default() }
}

fn family(ipv6: bool) -> IPFamily {
    if ipv6 { IPFamily::v6 } else { IPFamily::v4 }
}
