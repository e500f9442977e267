//! A network card, given to the machine whole: its driver on the host lets go of it for `vfio-pci`, and gets it back.
//!
//! While the guest has it, the link is gone from the host. When its driver has it again, the link appears in the
//! host's first namespace; it is brought back into its own, with its name, hardware address, MTU and addresses. Routes over it
//! are not, but for those that come with its addresses.

use std::os::fd::{AsFd as _, AsRawFd as _};

use ipnet::IpNet;
use netlink_packet_route::address::AddressFlags;
use rtnetlink::LinkUnspec;
use serde::{Deserialize, Serialize};

use super::{Attached, Backend, Properties};
use crate::{Inside, NetNs, NetworkError, netlink, scan::PciDevice, vfio::PciBus};

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physical {
    /// The link that it was.
    #[serde(flatten)]
    pub properties: Properties,
    /// The device, with the driver that it is given back to.
    pub pci: PciDevice,
}

impl Physical {
    pub(super) async fn attach(&self) -> Result<Attached, NetworkError> {
        let host = self.pci.address.clone();
        let address = host.clone();
        unhurried(move || PciBus::host().bind_vfio(&address)).await?;
        Ok(Attached { backend: Backend::Vfio { host } })
    }

    pub(super) async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        match self.give_back().await? {
            Some(link) => self.bring_home(namespace, &link).await,
            None => Ok(()),
        }
    }

    /// To its driver, and the link that it shows then in the host's namespace.
    pub(super) async fn give_back(&self) -> Result<Option<String>, NetworkError> {
        let pci = self.pci.clone();
        let given = move || {
            let bus = PciBus::host();
            bus.give_back(&pci).map(|()| bus.link(&pci.address))
        };
        unhurried(given).await
    }

    /// From the host's namespace, in which `link` has appeared.
    async fn bring_home(&self, namespace: &NetNs, link: &str) -> Result<(), NetworkError> {
        let host = NetNs::current()?;
        if host.is_same_as(namespace)? {
            return Ok(());
        }
        let (link, home, name) = (link.to_owned(), namespace.clone(), self.properties.name.clone());
        let moved = host.run(async move |inside: &Inside| {
            let found = netlink::by_name(inside.handle(), &link).await;
            let found = found.map_err(NetworkError::link("look at the properties", &link, 0))?;
            let Some(index) = found.map(|link| link.header.index) else { return Ok(false) };
            let fd = home.as_fd().as_raw_fd();
            let change = LinkUnspec::new_with_index(index).name(name).setns_by_fd(fd).build();
            let done = inside.handle().link().set(change).execute().await;
            done.map_err(netlink::link_error("change the namespace", &link, index)).map(|()| true)
        });
        if moved.await?? { self.restore(namespace).await } else { Ok(()) }
    }

    async fn restore(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        let link = self.properties.clone();
        namespace
            .run(async move |inside: &Inside| {
                let handle = inside.handle();
                let found = netlink::by_name(handle, &link.name).await;
                let found = found.map_err(NetworkError::link("look at the properties", &link.name, 0))?;
                let Some(index) = found.map(|found| found.header.index) else { return Ok(()) };
                // Its driver begins with the address that the card was made with.
                let mac = link.mac.0.to_vec();
                let up = LinkUnspec::new_with_index(index).address(mac).mtu(link.mtu).up().build();
                let done = handle.link().set(up).execute().await;
                done.map_err(netlink::link_error("bring up", &link.name, index))?;
                for net in &link.addresses {
                    let done = add_address(inside, index, *net).await;
                    done.map_err(netlink::link_error("restore the addresses", &link.name, index))?;
                }
                Ok(())
            })
            .await?
    }
}

/// A driver takes its time to start or to stop a card.
async fn unhurried<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(NetworkError::BrokeDown))
}

/// Adds an address that was in use before: without asking whether another has it.
async fn add_address(inside: &Inside, index: u32, net: IpNet) -> Result<(), rtnetlink::Error> {
    let mut request = inside.handle().address().add(index, net.addr(), net.prefix_len());
    if net.addr().is_ipv6() {
        let nodad = netlink_packet_route::address::AddressAttribute::Flags(AddressFlags::Nodad);
        request.message_mut().attributes.push(nodad);
    }
    request.replace().execute().await
}
