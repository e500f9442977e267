//! Interworking models: how a link that stays in the namespace is joined to a tap of the machine's own.
//!
//! What attaching makes is named beforehand, in the record: a link that begins with `vctap`, and a mark on the filters. So
//! detaching finds its own and nothing else, even where two sandboxes were pointed at one namespace.

mod macvtap;
mod tc_filter;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    os::fd::OwnedFd,
};

use rtnetlink::{Handle, LinkUnspec};
use serde::{Deserialize, Serialize};
use virtcontainers_sys::tap;

use crate::{Attached, Backend, Inside, NetNs, NetworkError, endpoint::Properties, netlink};

/// How the names of links begin that this library makes.
const PREFIX: &str = "vctap";

/// Whether a link of this name was made by this library.
pub(crate) fn is_ours(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == 8 && u32::from_str_radix(rest, 16).is_ok())
}

/// How a link is joined to the machine's tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// By which means.
    pub means: Means,
    /// The name of the tap, or of the macvtap.
    pub tap: String,
    /// What marks the filters.
    pub mark: u32,
    /// Leave frames with a VLAN's tag to the namespace, whose VLANs take them.
    #[serde(default)]
    pub spare_tagged: bool,
    /// How the tap is opened.
    pub queues: Queues,
}

/// The means to join a link to the machine's tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Filters that lead what comes in on either side out on the other.
    TcFilter,
    /// A macvtap on top of the link, which takes all that comes in for the guest.
    Macvtap,
}

/// How a tap is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queues {
    /// Queue pairs, each a descriptor.
    pub pairs: u32,
    /// Whether the kernel is to carry the packets, where it can.
    pub vhost_net: bool,
}

impl Queues {
    /// What the VMM is given: taps, and as many descriptors of the kernel's network back end if there is one.
    pub(crate) fn attached(self, taps: Vec<OwnedFd>) -> Result<Attached, NetworkError> {
        let mut vhost = Vec::new();
        for _ in taps.iter().filter(|_| self.vhost_net) {
            match tap::open_vhost_net() {
                Ok(fd) => vhost.push(fd),
                Err(error) if absent(&error) => break,
                Err(source) => return Err(NetworkError::io("open", "/dev/vhost-net")(source)),
            }
        }
        Ok(Attached { backend: Backend::Tap { taps, vhost } })
    }

    /// Opens each queue by `open`.
    pub(crate) fn open(self, mut open: impl FnMut(u32) -> io::Result<OwnedFd>) -> io::Result<Vec<OwnedFd>> {
        (0..self.pairs).map(&mut open).collect()
    }
}

/// A node of a device without its driver is as good as none.
fn absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || netlink::is_absent(error)
}

impl Join {
    /// By these means, under a name that nothing else has.
    pub(crate) fn new(means: Means, queues: Queues) -> Self {
        // A fresh state's hash of nothing is random, and cannot fail.
        let random = RandomState::new().build_hasher().finish().to_ne_bytes();
        let [a, b, c, d, ..] = random;
        let mark = u32::from_ne_bytes([a, b, c, d]).max(1);
        Self { means, tap: format!("{PREFIX}{mark:08x}"), mark, spare_tagged: false, queues }
    }

    pub(crate) async fn attach(
        &self,
        namespace: &NetNs,
        link: &Properties,
    ) -> Result<Attached, NetworkError> {
        let (join, link) = (self.clone(), link.clone());
        let taps = namespace.run(async move |inside: &Inside| {
            let handle = inside.handle();
            let attached = match join.means {
                Means::TcFilter => tc_filter::attach(handle, &link, &join).await,
                Means::Macvtap => macvtap::attach(handle, &link, &join).await,
            };
            attached.map_err(|error| {
                // Whichever side noticed: it is the link that took what rests on it along.
                let vanished = matches!(error, NetworkError::LinkVanished { .. });
                let named = NetworkError::LinkVanished { link: link.name.clone(), index: link.index };
                if vanished { named } else { error }
            })
        });
        self.queues.attached(taps.await??)
    }

    pub(crate) async fn detach(&self, namespace: &NetNs, link: &Properties) -> Result<(), NetworkError> {
        let (join, index) = (self.clone(), link.index);
        namespace
            .run(async move |inside: &Inside| {
                let handle = inside.handle();
                if join.means == Means::TcFilter {
                    tc_filter::clear(handle, index, &join).await?;
                }
                remove(handle, &join.tap).await
            })
            .await?
    }

    /// Gives the tap the link's new MTU.
    pub(crate) async fn set_mtu(&self, namespace: &NetNs, mtu: u32) -> Result<(), NetworkError> {
        let tap = self.tap.clone();
        namespace
            .run(async move |inside: &Inside| {
                let handle = inside.handle();
                let index = index_of(handle, &tap).await?;
                let change = LinkUnspec::new_with_index(index).mtu(mtu).build();
                let done = handle.link().set(change).execute().await;
                done.map_err(netlink::link_error("set the MTU", &tap, index))
            })
            .await?
    }
}

/// Makes sure that the link of a record is there still, under its name.
pub(crate) async fn present(handle: &Handle, link: &Properties) -> Result<(), NetworkError> {
    let found = netlink::by_index(handle, link.index).await;
    let found = found.map_err(NetworkError::link("look at the properties", &link.name, link.index))?;
    match found.as_ref().and_then(netlink::name) {
        Some(name) if name == link.name => Ok(()),
        _ => Err(NetworkError::LinkVanished { link: link.name.clone(), index: link.index }),
    }
}

/// The index of a link that was just made.
async fn index_of(handle: &Handle, name: &str) -> Result<u32, NetworkError> {
    let found = netlink::by_name(handle, name).await;
    let found = found.map_err(NetworkError::link("look at the properties", name, 0))?;
    let vanished = || NetworkError::LinkVanished { link: name.to_owned(), index: 0 };
    found.map(|link| link.header.index).ok_or_else(vanished)
}

/// Removes a tap or macvtap of ours; it may be gone.
async fn remove(handle: &Handle, name: &str) -> Result<(), NetworkError> {
    let found = netlink::by_name(handle, name).await;
    let found = found.map_err(NetworkError::link("look at the properties", name, 0))?;
    let Some(index) = found.map(|link| link.header.index) else { return Ok(()) };
    match handle.link().del(index).execute().await.map_err(netlink::io_error) {
        Err(error) if !netlink::is_absent(&error) => {
            Err(NetworkError::link("finish the removal", name, index)(error))
        }
        _ => Ok(()),
    }
}
