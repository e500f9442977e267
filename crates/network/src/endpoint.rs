//! Endpoints: how a link of the namespace reaches the virtual machine.
//!
//! One is chosen for a link without a side effect, and can be written down then. [`Endpoint::attach`] makes what is needed
//! and hands out descriptors for the VMM; [`Endpoint::detach`] takes it away from the record alone, and leaves the
//! link as it was found.

mod choose;
mod ipvlan;
mod kind;
mod macvlan;
mod macvtap;
mod physical;
mod properties;
mod tap;
mod tuntap;
mod veth;
mod vhost_user;

use std::{os::fd::OwnedFd, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use virtcontainers_types::{
    NetInterworkingModel,
    net::{Interface, MacAddr, PciPath},
};

pub use self::{
    ipvlan::IpVlan,
    kind::{EndpointType, UnknownEndpointType},
    macvlan::BridgedMacvlan,
    macvtap::Macvtap,
    physical::Physical,
    properties::Properties,
    tap::Tap,
    tuntap::Tuntap,
    veth::Veth,
    vhost_user::{VhostUser, socket_of},
};
use crate::{Link, NetNs, NetworkError, model::Join};

/// The most queue pairs of a link, as of a tap in Linux.
pub const MAX_QUEUES: u32 = 256;

/// How a link of the namespace reaches the virtual machine. It is also its own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Endpoint {
    /// A veth, or another Ethernet link that stays in the namespace: joined by the interworking model.
    Veth(Veth),
    /// A macvlan, joined by the interworking model.
    BridgedMacvlan(BridgedMacvlan),
    /// An ipvlan, joined by traffic control.
    IpVlan(IpVlan),
    /// A macvtap that the namespace has: the VMM opens it.
    Macvtap(Macvtap),
    /// A tap that the namespace has and nobody holds: the VMM opens it.
    Tap(Tap),
    /// A tap that another process holds, whose frames are led to a tap of the VMM's own.
    Tuntap(Tuntap),
    /// A network card, given to the machine whole.
    Physical(Physical),
    /// A socket on which a process serves virtio queues.
    VhostUser(VhostUser),
}

/// What the caller decides about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// The machine's name for the network card, unique in the machine (`net0`).
    pub id: String,
    /// How links that stay in the namespace are joined; [`NetInterworkingModel::Default`] is traffic control.
    pub model: NetInterworkingModel,
    /// Queue pairs, where the link can have several; 1 to [`MAX_QUEUES`].
    pub queues: u32,
    /// Let the kernel carry the packets (`/dev/vhost-net`), where it can.
    pub vhost_net: bool,
    /// The socket of a process that serves virtio queues for this link, see [`socket_of`].
    pub vhost_user: Option<PathBuf>,
}

impl EndpointOptions {
    /// One queue pair, the default model, the kernel's help where it is to be had.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            model: NetInterworkingModel::Default,
            queues: 1,
            vhost_net: true,
            vhost_user: None,
        }
    }
}

/// What an attached endpoint gives to the VMM.
#[derive(Debug)]
pub struct Attached {
    /// The host's side of the network card.
    pub backend: Backend,
}

/// The host's side of a network card.
#[derive(Debug)]
pub enum Backend {
    /// Open taps.
    Tap {
        /// One descriptor for each queue pair.
        taps: Vec<OwnedFd>,
        /// As many of `/dev/vhost-net`, or none where it is not wanted or not there.
        vhost: Vec<OwnedFd>,
    },
    /// A process that serves virtio queues.
    VhostUser {
        /// Where it listens.
        socket: PathBuf,
    },
    /// A device that is bound to `vfio-pci`.
    Vfio {
        /// Its address on the host's bus, as `0000:03:00.0`.
        host: String,
    },
}

impl Endpoint {
    /// Chooses the endpoint for a link. Nothing is touched; the names of what attaching will make are drawn here, so
    /// that they can be written down before.
    ///
    /// None: the link is not for the guest. That is so for `lo`, links that are down, fallback tunnels, bridges and their
    /// ports (but for taps), links that macvlans or the like rest on, parents of VLANs that have no address of their own,
    /// and what this library made.
    ///
    /// # Errors
    /// [`NetworkError::ModelCannotServe`], [`NetworkError::UnsupportedLink`], [`NetworkError::Queues`].
    pub fn choose(link: &Link, options: &EndpointOptions) -> Result<Option<Self>, NetworkError> {
        choose::choose(link, options)
    }

    /// Makes what leads the link's frames to the machine, and opens it.
    ///
    /// # Errors
    /// [`NetworkError`]; then what was made is taken away again.
    pub async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        match self {
            Self::Veth(endpoint) => endpoint.attach(namespace).await,
            Self::BridgedMacvlan(endpoint) => endpoint.attach(namespace).await,
            Self::IpVlan(endpoint) => endpoint.attach(namespace).await,
            Self::Macvtap(endpoint) => endpoint.attach(namespace).await,
            Self::Tap(endpoint) => endpoint.attach(namespace).await,
            Self::Tuntap(endpoint) => endpoint.attach(namespace).await,
            Self::Physical(endpoint) => endpoint.attach().await,
            Self::VhostUser(endpoint) => Ok(endpoint.attach()),
        }
    }

    /// Takes away what [`attach`](Self::attach) made, and only that; idempotent. It is no error that a link is gone.
    ///
    /// # Errors
    /// [`NetworkError`], when the kernel refuses.
    pub async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        match self {
            Self::Veth(endpoint) => endpoint.detach(namespace).await,
            Self::BridgedMacvlan(endpoint) => endpoint.detach(namespace).await,
            Self::IpVlan(endpoint) => endpoint.detach(namespace).await,
            Self::Tuntap(endpoint) => endpoint.detach(namespace).await,
            Self::Tap(endpoint) => endpoint.detach(namespace).await,
            Self::Physical(endpoint) => endpoint.detach(namespace).await,
            Self::Macvtap(_) | Self::VhostUser(_) => Ok(()),
        }
    }

    /// Takes away what is left of it when its namespace is gone: only a card is, which its driver gets back; idempotent.
    ///
    /// # Errors
    /// [`NetworkError`], when the kernel refuses.
    pub async fn detach_orphan(&self) -> Result<(), NetworkError> {
        match self {
            Self::Physical(endpoint) => endpoint.give_back().await.map(drop),
            Self::Veth(_)
            | Self::BridgedMacvlan(_)
            | Self::IpVlan(_)
            | Self::Macvtap(_)
            | Self::Tap(_)
            | Self::Tuntap(_)
            | Self::VhostUser(_) => Ok(()),
        }
    }

    /// Takes over what has changed of its link: addresses, MTU (the tap's too), and whether it resolves addresses. The
    /// answer is whether anything has.
    ///
    /// # Errors
    /// [`NetworkError`], when the kernel refuses the tap's new MTU; then nothing is taken over.
    pub async fn follow(&mut self, namespace: &NetNs, link: &Link) -> Result<bool, NetworkError> {
        let known = self.properties();
        let now = Properties {
            mtu: link.mtu,
            addresses: link.addresses.clone(),
            no_arp: link.no_arp,
            ..known.clone()
        };
        if now == *known {
            return Ok(false);
        }
        if now.mtu != known.mtu
            && let Some(join) = self.join()
        {
            join.set_mtu(namespace, now.mtu).await?;
        }
        *self.properties_mut() = now;
        Ok(true)
    }

    /// How it is joined to a tap of the machine's own, if it is.
    #[must_use]
    pub const fn join(&self) -> Option<&Join> {
        match self {
            Self::Veth(Veth { join, .. })
            | Self::BridgedMacvlan(BridgedMacvlan { join, .. })
            | Self::IpVlan(IpVlan { join, .. })
            | Self::Tuntap(Tuntap { join, .. }) => Some(join),
            Self::Macvtap(_) | Self::Tap(_) | Self::Physical(_) | Self::VhostUser(_) => None,
        }
    }

    /// What it knows of its link.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        match self {
            Self::Veth(endpoint) => &endpoint.properties,
            Self::BridgedMacvlan(endpoint) => &endpoint.properties,
            Self::IpVlan(endpoint) => &endpoint.properties,
            Self::Macvtap(endpoint) => &endpoint.properties,
            Self::Tap(endpoint) => &endpoint.properties,
            Self::Tuntap(endpoint) => &endpoint.properties,
            Self::Physical(endpoint) => &endpoint.properties,
            Self::VhostUser(endpoint) => &endpoint.properties,
        }
    }

    /// The same, to be changed when the link changes.
    pub fn properties_mut(&mut self) -> &mut Properties {
        match self {
            Self::Veth(endpoint) => &mut endpoint.properties,
            Self::BridgedMacvlan(endpoint) => &mut endpoint.properties,
            Self::IpVlan(endpoint) => &mut endpoint.properties,
            Self::Macvtap(endpoint) => &mut endpoint.properties,
            Self::Tap(endpoint) => &mut endpoint.properties,
            Self::Tuntap(endpoint) => &mut endpoint.properties,
            Self::Physical(endpoint) => &mut endpoint.properties,
            Self::VhostUser(endpoint) => &mut endpoint.properties,
        }
    }

    /// The machine's name for the network card.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.properties().id
    }

    /// The link's name, on the host and in the guest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.properties().name
    }

    /// The hardware address that the guest's interface has.
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        self.properties().mac
    }

    /// Largest packet in bytes.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.properties().mtu
    }

    /// The addresses that the guest's interface has.
    #[must_use]
    pub fn addresses(&self) -> &[IpNet] {
        &self.properties().addresses
    }

    /// Queue pairs.
    #[must_use]
    pub fn queues(&self) -> u32 {
        match self {
            Self::Veth(Veth { join, .. })
            | Self::BridgedMacvlan(BridgedMacvlan { join, .. })
            | Self::IpVlan(IpVlan { join, .. })
            | Self::Tuntap(Tuntap { join, .. }) => join.queues.pairs,
            Self::Macvtap(Macvtap { queues, .. }) | Self::Tap(Tap { queues, .. }) => queues.pairs,
            Self::VhostUser(endpoint) => endpoint.queues,
            Self::Physical(_) => 1,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn endpoint_type(&self) -> EndpointType {
        match self {
            Self::Veth(_) => EndpointType::Veth,
            Self::BridgedMacvlan(_) => EndpointType::BridgedMacvlan,
            Self::IpVlan(_) => EndpointType::IpVlan,
            Self::Macvtap(_) => EndpointType::Macvtap,
            Self::Tap(_) => EndpointType::Tap,
            Self::Tuntap(_) => EndpointType::Tuntap,
            Self::Physical(_) => EndpointType::Physical,
            Self::VhostUser(_) => EndpointType::VhostUser,
        }
    }

    /// What the agent is told, so that the guest's interface is like the link.
    #[must_use]
    pub fn interface(&self, pci_path: Option<PciPath>) -> Interface {
        self.properties().interface(pci_path)
    }
}
