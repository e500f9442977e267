//! The network of the mock agent's guest: what it was told, played back.

use virtcontainers_types::net::{Interface, MacAddr, Neighbor, PciPath, Route};

use super::{Method, MockAgent, act::refused};
use crate::error::{AgentError, RpcCode};

/// The network of a [`MockAgent`]'s guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MockNetwork {
    /// Its interfaces, in the order in which they were told.
    pub interfaces: Vec<Interface>,
    /// Its routes.
    pub routes: Vec<Route>,
    /// The neighbours that it was told of; one of each address and device.
    pub neighbors: Vec<Neighbor>,
}

/// The same, and the devices that there are.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) told: MockNetwork,
    /// `None`: each that is asked for.
    devices: Option<Vec<(MacAddr, Option<PciPath>)>>,
}

impl Network {
    /// An interface is the same as one before that has its hardware address.
    pub(super) fn update_interface(&mut self, interface: Interface) -> Result<Interface, AgentError> {
        let is_it = |(mac, path): &(MacAddr, Option<PciPath>)| match &interface.pci_path {
            Some(wanted) => path.as_ref() == Some(wanted),
            None => *mac == interface.mac,
        };
        if self.devices.as_ref().is_some_and(|devices| !devices.iter().any(is_it)) {
            let what = format!("no network device for interface {}", interface.name);
            return Err(refused(Method::UpdateInterface, RpcCode::NotFound, &what));
        }
        let all = &mut self.told.interfaces;
        match all.iter_mut().find(|other| other.mac == interface.mac) {
            Some(other) => other.clone_from(&interface),
            None => all.push(interface.clone()),
        }
        Ok(interface)
    }

    pub(super) fn update_routes(&mut self, routes: Vec<Route>) -> Result<Vec<Route>, AgentError> {
        self.told.routes.clone_from(&routes);
        Ok(routes)
    }

    pub(super) fn add_neighbors(&mut self, neighbors: Vec<Neighbor>) -> Result<(), AgentError> {
        for neighbor in neighbors {
            let same =
                |other: &Neighbor| (other.address, &other.device) == (neighbor.address, &neighbor.device);
            self.told.neighbors.retain(|other| !same(other));
            self.told.neighbors.push(neighbor);
        }
        Ok(())
    }
}

impl MockAgent {
    /// The guest's network: as it was scripted, changed by what the guest was told since.
    #[must_use]
    pub fn network(&self) -> MockNetwork {
        self.guest.borrow().guest_wide.network.told.clone()
    }

    /// Scripts the interfaces that the guest has; the default is none.
    pub fn set_interfaces(&self, interfaces: Vec<Interface>) {
        self.script_wide(|wide| wide.network.told.interfaces = interfaces);
    }

    /// Scripts the routes that the guest has; the default is none.
    pub fn set_routes(&self, routes: Vec<Route>) {
        self.script_wide(|wide| wide.network.told.routes = routes);
    }

    /// Scripts which network devices the guest has: an update of an interface for which there is none is *not found*.
    /// Without a script there is each that is asked for. One that is gone takes its interface along.
    pub fn set_network_devices(&self, devices: Vec<(MacAddr, Option<PciPath>)>) {
        self.script_wide(|wide| {
            wide.network.told.interfaces.retain(|known| devices.iter().any(|(mac, _)| *mac == known.mac));
            wide.network.devices = Some(devices);
        });
    }
}
