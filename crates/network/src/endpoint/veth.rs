//! A veth, or another Ethernet link that stays in the namespace (VLAN, dummy, bond, virtio card): either model joins it.

use serde::{Deserialize, Serialize};

use super::{Attached, Properties};
use crate::{NetNs, NetworkError, model::Join};

/// A veth, or another Ethernet link that stays in the namespace, joined by either model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// The link.
    #[serde(flatten)]
    pub properties: Properties,
    /// How it is joined to the machine's tap.
    pub join: Join,
}

impl Veth {
    pub(super) async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        self.join.attach(namespace, &self.properties).await
    }

    pub(super) async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        self.join.detach(namespace, &self.properties).await
    }
}
