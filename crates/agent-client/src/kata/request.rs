//! What goes out, in the protocol's messages; what these cannot carry is refused before anything is sent.

use std::{net::IpAddr, time::Duration};

use virtcontainers_agent_protocol::api::{agent as wire, types};
use virtcontainers_types::{
    ContainerId, ExecId,
    net::{Interface, Neighbor, Route},
};

use crate::{
    agent::{FileChunk, KernelModule, Storage},
    error::AgentError,
};

/// The most that one read or write carries, in bytes: with its envelope well under the 4 MiB of a ttrpc message.
pub(super) const MAX_STREAM: usize = virtcontainers_agent_protocol::limits::MESSAGE_DATA;

/// The id that means nobody, and to chown(2) no change.
const NO_ID: u32 = u32::MAX;

pub(super) fn unsendable(method: &'static str, error: &dyn std::error::Error) -> AgentError {
    AgentError::Argument { method, reason: error.to_string() }
}

fn refuse(method: &'static str, reason: String) -> AgentError {
    AgentError::Argument { method, reason }
}

pub(super) fn wait(container: &ContainerId, exec: &ExecId) -> wire::WaitProcessRequest {
    wire::WaitProcessRequest {
        container_id: container.to_string(),
        exec_id: exec.to_string(),
        ..Default::default()
    }
}

pub(super) fn read(container: &ContainerId, exec: &ExecId, max: u32) -> wire::ReadStreamRequest {
    wire::ReadStreamRequest {
        container_id: container.to_string(),
        exec_id: exec.to_string(),
        len: max.min(MAX_STREAM as u32),
        ..Default::default()
    }
}

/// Rounded up, for zero would mean no bound.
pub(super) fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

pub(super) fn kernel_module(module: KernelModule) -> wire::KernelModule {
    let KernelModule { name, parameters } = module;
    wire::KernelModule { name, parameters, ..Default::default() }
}

pub(super) fn storage(storage: Storage) -> wire::Storage {
    let Storage { driver, driver_options, source, fstype, options, mount_point } = storage;
    wire::Storage { driver, driver_options, source, fstype, options, mount_point, ..Default::default() }
}

pub(super) fn file(chunk: FileChunk) -> Result<wire::CopyFileRequest, AgentError> {
    const METHOD: &str = "CopyFile";
    let FileChunk { path, file_size, offset, data, file_mode, dir_mode, uid, gid } = chunk;
    if !path.starts_with('/') {
        return Err(refuse(METHOD, format!("{path:?} is no absolute path of the guest")));
    }
    if data.len() > FileChunk::MAX {
        let reason = format!("a piece of {} bytes for {path}: cut it to {}", data.len(), FileChunk::MAX);
        return Err(refuse(METHOD, reason));
    }
    let end = offset.checked_add(data.len() as u64).filter(|end| *end <= file_size);
    let (Some(_end), Ok(size), Ok(from)) = (end, i64::try_from(file_size), i64::try_from(offset)) else {
        let reason = format!("{} bytes at {offset} of {path}, which has {file_size}", data.len());
        return Err(refuse(METHOD, reason));
    };
    if uid == NO_ID || gid == NO_ID {
        return Err(refuse(METHOD, format!("{NO_ID} owns no file, {path} neither")));
    }
    Ok(wire::CopyFileRequest {
        path,
        file_size: size,
        offset: from,
        data,
        file_mode,
        dir_mode,
        uid: uid.cast_signed(),
        gid: gid.cast_signed(),
        ..Default::default()
    })
}

pub(super) fn time(since_epoch: Duration) -> Result<wire::SetGuestDateTimeRequest, AgentError> {
    let Ok(seconds) = i64::try_from(since_epoch.as_secs()) else {
        return Err(refuse("SetGuestDateTime", format!("{since_epoch:?} since the epoch is no date")));
    };
    Ok(wire::SetGuestDateTimeRequest {
        Sec: seconds,
        Usec: since_epoch.subsec_micros().into(),
        ..Default::default()
    })
}

/// A path or a name that has to be there.
pub(super) fn given(method: &'static str, what: &str, value: &str) -> Result<String, AgentError> {
    if value.is_empty() || value.contains('\0') {
        return Err(refuse(method, format!("{value:?} is no {what}")));
    }
    Ok(value.to_owned())
}

/// A list that may not be empty, nor longer than a message bears.
pub(super) fn some<T>(method: &'static str, what: &str, values: Vec<T>) -> Result<Vec<T>, AgentError> {
    if values.is_empty() || values.len() > MAX_STREAM / 16 {
        return Err(refuse(method, format!("{} {what}: give 1 to {}", values.len(), MAX_STREAM / 16)));
    }
    Ok(values)
}

pub(super) fn interface(interface: Interface) -> Result<wire::UpdateInterfaceRequest, AgentError> {
    const METHOD: &str = "UpdateInterface";
    let Interface { device, name, mac, addresses, mtu, pci_path, kind, raw_flags } = interface;
    let interface = types::Interface {
        device,
        name: given(METHOD, "name of an interface", &name)?,
        IPAddresses: addresses.iter().map(|net| address(net.addr(), net.prefix_len())).collect(),
        mtu: mtu.into(),
        hwAddr: mac.to_string(),
        devicePath: pci_path.map(|path| path.to_string()).unwrap_or_default(),
        type_: kind,
        raw_flags,
        ..Default::default()
    };
    Ok(wire::UpdateInterfaceRequest { interface: Some(interface).into(), ..Default::default() })
}

pub(super) fn routes(routes: Vec<Route>) -> Result<wire::UpdateRoutesRequest, AgentError> {
    let routes = routes.into_iter().map(route).collect::<Result<_, _>>()?;
    let routes = wire::Routes { Routes: routes, ..Default::default() };
    Ok(wire::UpdateRoutesRequest { routes: Some(routes).into(), ..Default::default() })
}

fn route(route: Route) -> Result<types::Route, AgentError> {
    let Route { destination, gateway, device, source, scope, flags, mtu, ipv6 } = route;
    Ok(types::Route {
        dest: destination.map(|to| to.to_string()).unwrap_or_default(),
        gateway: gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        device: given("UpdateRoutes", "device of a route", &device)?,
        source: source.map(|source| source.to_string()).unwrap_or_default(),
        scope: scope.into(),
        family: family(ipv6).into(),
        flags,
        mtu,
        ..Default::default()
    })
}

pub(super) fn neighbors(neighbors: Vec<Neighbor>) -> Result<wire::AddARPNeighborsRequest, AgentError> {
    let neighbors = neighbors.into_iter().map(|neighbor| {
        let Neighbor { address: to, device, mac, state, flags } = neighbor;
        Ok(types::ARPNeighbor {
            toIPAddress: Some(address(to, if to.is_ipv6() { 128 } else { 32 })).into(),
            device: given("AddARPNeighbors", "device of a neighbour", &device)?,
            lladdr: mac.to_string(),
            state: state.into(),
            flags: flags.into(),
            ..Default::default()
        })
    });
    let neighbors = neighbors.collect::<Result<_, AgentError>>()?;
    let neighbors = wire::ARPNeighbors { ARPNeighbors: neighbors, ..Default::default() };
    Ok(wire::AddARPNeighborsRequest { neighbors: Some(neighbors).into(), ..Default::default() })
}

fn address(address: IpAddr, prefix_len: u8) -> types::IPAddress {
    types::IPAddress {
        family: family(address.is_ipv6()).into(),
        address: address.to_string(),
        mask: prefix_len.to_string(),
        ..Default::default()
    }
}

fn family(ipv6: bool) -> types::IPFamily {
    if ipv6 { types::IPFamily::v6 } else { types::IPFamily::v4 }
}
