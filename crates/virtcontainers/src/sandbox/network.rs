//! A sandbox's network as it is on record, and how each part of it is given back.
//!
//! The order is that of acquisition: namespace, CNI network, one interface after the other, machine. A stop gives back
//! the interfaces, which are of no use without a machine; namespace and CNI network stay until the sandbox is deleted.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::{Nic, NicBackend, NicFds, Vm};
use virtcontainers_network::{
    Attached, Backend, Endpoint, EndpointOptions, Link, NetNs, NetworkError, NetworkInfo,
    cni::{Attachment, Cni},
    endpoint,
};
use virtcontainers_store::ReleaseError;
use virtcontainers_types::{
    NetInterworkingModel, SandboxId,
    net::{Interface, Neighbor, Route},
};

use super::{Resource, SandboxRecord};
use crate::{
    config::{CniConfig, HypervisorConfig, NetworkConfig},
    error::{Cause, Error},
};

/// Where CNI configuration lists are when nothing else is said.
const CNI_CONF_DIR: &str = "/etc/cni/net.d";
/// Where CNI plugins are when nothing else is said.
const CNI_PLUGIN_DIRS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
/// The name of a sandbox's own namespace in its directory.
const OWN_NETNS: &str = "netns";
/// The name of the directory where it is noted what CNI plugins attached.
const CNI_CACHE: &str = "cni";

/// What the guest was told of the namespace beside its interfaces, and what it is not to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetworkState {
    /// The namespace's routes over the sandbox's links when they were told last.
    pub(super) routes: Vec<Route>,
    /// The same of its neighbours.
    pub(super) neighbors: Vec<Neighbor>,
    /// Links that were unplugged by request: as long as they are there, no sync plugs them in again.
    pub(super) unplugged: BTreeSet<String>,
}

impl NetworkState {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An interface of the machine: the link of the namespace behind it, and what the guest was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Card {
    /// The namespace.
    pub(super) netns: PathBuf,
    /// How it is joined to the machine, and its link as it was seen last.
    pub(super) endpoint: Endpoint,
    /// What the guest was told.
    pub(super) interface: Interface,
}

impl Card {
    /// Joins a link to a machine, on paper. None for a link that is not the guest's business.
    pub(super) fn plan(
        link: &Link,
        netns: &Path,
        slot: String,
        wishes: &Wishes,
    ) -> Result<Option<Self>, NetworkError> {
        let Wishes { model, queues, vhost_net, vhost_user_dir } = wishes;
        let options = EndpointOptions {
            model: *model,
            queues: *queues,
            vhost_net: *vhost_net,
            vhost_user: vhost_user_dir.as_ref().and_then(|dir| endpoint::socket_of(link, dir)),
            ..EndpointOptions::new(slot)
        };
        let Some(endpoint) = Endpoint::choose(link, &options)? else { return Ok(None) };
        let interface = endpoint.interface(None);
        Ok(Some(Self { netns: netns.to_owned(), endpoint, interface }))
    }

    /// Its id in the machine.
    pub(super) fn slot(&self) -> &str {
        self.endpoint.id()
    }

    /// The name of its link in the namespace.
    pub(super) fn link(&self) -> &str {
        self.endpoint.name()
    }

    /// The machine's side of it, once the host's is there.
    pub(super) fn nic(&self, attached: Attached) -> (Nic, NicFds) {
        let (backend, fds) = match attached.backend {
            Backend::Tap { taps, vhost } => {
                let backend = NicBackend::Tap { vhost: !vhost.is_empty() };
                (backend, NicFds { id: self.slot().to_owned(), taps, vhost })
            }
            Backend::VhostUser { socket } => (NicBackend::VhostUser { socket }, self.no_fds()),
            Backend::Vfio { host } => (NicBackend::Vfio { host }, self.no_fds()),
        };
        let mtu = Some(self.endpoint.mtu()).filter(|mtu| *mtu != 0);
        let (id, mac, queues) = (self.slot().to_owned(), self.endpoint.mac(), self.endpoint.queues());
        (Nic { id, mac, mtu, queues, backend }, fds)
    }

    fn no_fds(&self) -> NicFds {
        NicFds { id: self.slot().to_owned(), ..NicFds::default() }
    }

    /// Gives back the host's side. A namespace that is gone has taken it along, but for a card.
    async fn detach(&self) -> Result<(), NetworkError> {
        match NetNs::open(&self.netns) {
            Ok(ns) => self.endpoint.detach(&ns).await,
            Err(NetworkError::NotANamespace { .. }) => self.endpoint.detach_orphan().await,
            Err(error) => Err(error),
        }
    }

    /// Gives back both sides; `machine` is one that stays.
    pub(super) async fn release(&self, machine: Option<&dyn Vm>) -> Result<(), ReleaseError> {
        if let Some(hotplug) = machine.and_then(Vm::hotplug) {
            hotplug.remove_nic(self.slot()).await?;
        }
        Ok(self.detach().await?)
    }
}

/// How the sandbox wants its interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wishes {
    model: NetInterworkingModel,
    queues: u32,
    vhost_net: bool,
    vhost_user_dir: Option<PathBuf>,
}

impl Wishes {
    pub(super) fn of(network: &NetworkConfig, hypervisor: &HypervisorConfig) -> Self {
        Self {
            model: network.interworking_model,
            queues: network.queues.max(1),
            vhost_net: !hypervisor.disable_vhost_net,
            vhost_user_dir: network.vhost_user_dir.clone(),
        }
    }
}

/// The first id that no interface has.
pub(super) fn free_slot<'a>(cards: impl Iterator<Item = &'a Card>) -> String {
    let taken: BTreeSet<&str> = cards.map(Card::slot).collect();
    (0..)
        .map(|number: u32| format!("net{number}"))
        .find(|id| !taken.contains(id.as_str()))
        .unwrap_or_default()
}

/// The namespace's routes and neighbours over these links, by the names that they have in the guest.
pub(super) fn ways<'a>(
    info: &NetworkInfo,
    cards: impl Iterator<Item = &'a Card> + Clone,
) -> (Vec<Route>, Vec<Neighbor>) {
    let inside = |device: &str| {
        cards.clone().find(|card| card.link() == device).map(|card| card.interface.name.clone())
    };
    let routes = info
        .routes
        .iter()
        .filter_map(|route| inside(&route.device).map(|device| Route { device, ..route.clone() }));
    let neighbors = info.neighbors.iter().filter_map(|neighbor| {
        inside(&neighbor.device).map(|device| Neighbor { device, ..neighbor.clone() })
    });
    (routes.collect(), neighbors.collect())
}

impl SandboxRecord {
    /// The path of the network namespace.
    pub(super) fn netns(&self) -> Option<&Path> {
        self.resources.iter().find_map(|resource| match resource {
            Resource::Netns { path, .. } => Some(path.as_path()),
            Resource::Cgroups(_)
            | Resource::Share
            | Resource::Cni { .. }
            | Resource::Endpoint(_)
            | Resource::Container { .. }
            | Resource::Daemon { .. }
            | Resource::Machine { .. } => None,
        })
    }

    /// The network namespace, opened.
    pub(super) fn open_netns(&self) -> Result<(PathBuf, NetNs), Error> {
        let path = self.netns().ok_or_else(|| Cause::NoNetwork { id: self.id.clone() })?;
        Ok((path.to_owned(), NetNs::open(path)?))
    }

    /// The interfaces.
    pub(super) fn cards(&self) -> impl Iterator<Item = &Card> + Clone {
        self.resources.iter().filter_map(Resource::card)
    }

    /// The interfaces, to be changed.
    pub(super) fn cards_mut(&mut self) -> impl Iterator<Item = &mut Card> {
        self.resources.iter_mut().filter_map(Resource::card_mut)
    }
}

/// Where a sandbox's own namespace is.
pub(super) fn own_netns(dir: &Path) -> PathBuf {
    dir.join(OWN_NETNS)
}

/// The client of a sandbox's CNI network, and what it attaches.
pub(super) fn cni(id: &SandboxId, dir: &Path, config: &CniConfig, netns: &Path) -> (Cni, Attachment) {
    let conf_dir = config.conf_dir.clone().unwrap_or_else(|| CNI_CONF_DIR.into());
    let plugin_dirs = match config.plugin_dirs.as_slice() {
        [] => CNI_PLUGIN_DIRS.map(PathBuf::from).to_vec(),
        given => given.to_vec(),
    };
    let client =
        Cni { host_netns: config.host_netns.clone(), ..Cni::new(conf_dir, plugin_dirs, dir.join(CNI_CACHE)) };
    let plain = Attachment::new(id.as_str(), netns);
    let attachment = Attachment {
        ifname: config.ifname.clone().unwrap_or_else(|| plain.ifname.clone()),
        args: config.args.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        port_mappings: config.port_mappings.clone(),
        ..plain
    };
    (client, attachment)
}
