//! A tap that the namespace has and nobody holds: the VMM gets its queues. Nothing is made; what is undone is only the form
//! of frames that the VMM wants.
//!
//! The guest's interface has another hardware address than the tap: the tap's own is the namespace's end of the wire, and a
//! bridge that the tap is a port of keeps frames for it to itself.

use serde::{Deserialize, Serialize};
use virtcontainers_sys::tap::{self, TapOptions};
use virtcontainers_types::net::MacAddr;

use super::{Attached, Properties};
use crate::{
    Inside, NetNs, NetworkError,
    model::{self, Queues},
};

/// A tap that the namespace has and nobody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// The link.
    #[serde(flatten)]
    pub properties: Properties,
    /// Whether it was made to have several queues.
    pub multi_queue: bool,
    /// Whether virtio's header preceded its frames.
    pub vnet_hdr: bool,
    /// How it is opened.
    pub queues: Queues,
}

impl Tap {
    pub(super) async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        let Self { properties: link, multi_queue, queues, .. } = self.clone();
        let taps = namespace.run(async move |inside: &Inside| {
            model::present(inside.handle(), &link).await?;
            let options = TapOptions { multi_queue, ..TapOptions::default() };
            let taps = queues.open(|_| tap::open(&link.name, options));
            taps.map_err(NetworkError::link("open the queues", &link.name, link.index))
        });
        self.queues.attached(taps.await??)
    }

    /// A tap keeps the form of frames that its last opener asked for: the one that was before is asked for once more. While
    /// somebody has it open, that one decides.
    pub(super) async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        let Self { properties: link, multi_queue, vnet_hdr, .. } = self.clone();
        if vnet_hdr {
            return Ok(());
        }
        let opened = namespace.run(async move |inside: &Inside| {
            match model::present(inside.handle(), &link).await {
                Err(NetworkError::LinkVanished { .. }) => return Ok(()),
                present => present?,
            }
            let options = TapOptions { multi_queue, bare: true, ..TapOptions::default() };
            match tap::open(&link.name, options) {
                Err(error) if error.raw_os_error() != Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                    Err(NetworkError::link("restore the form of frames", &link.name, link.index)(error))
                }
                _ => Ok(()),
            }
        });
        opened.await?
    }
}

/// The hardware address of the guest's end of a tap: of the tap's own, so that it is always the same one, and another,
/// administered locally.
pub(super) fn far_end_of(MacAddr([a, b, c, d, e, f]): MacAddr) -> MacAddr {
    MacAddr([(a | 0x02) & 0xfe, b, c, d, e, f ^ 0x80])
}
