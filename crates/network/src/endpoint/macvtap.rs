//! A macvtap that the namespace has, by a CNI plugin or an engine: the VMM gets its queues. Nothing is made, so nothing is
//! to be undone: closing the queues is all.

use serde::{Deserialize, Serialize};
use virtcontainers_sys::tap;

use super::{Attached, Properties};
use crate::{
    Inside, NetNs, NetworkError,
    model::{self, Queues},
};

/// A macvtap that the namespace has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macvtap {
    /// The link.
    #[serde(flatten)]
    pub properties: Properties,
    /// How it is opened.
    pub queues: Queues,
}

impl Macvtap {
    pub(super) async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        let Self { properties: link, queues } = self.clone();
        let taps = namespace.run(async move |inside: &Inside| {
            model::present(inside.handle(), &link).await?;
            let taps = queues.open(|_| tap::open_macvtap(&link.name, link.index));
            taps.map_err(NetworkError::link("open the queues", &link.name, link.index))
        });
        self.queues.attached(taps.await??)
    }
}
