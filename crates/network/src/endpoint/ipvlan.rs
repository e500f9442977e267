//! An ipvlan. It shares its parent's hardware address, so only traffic control joins it: nothing can be stacked on it.

use serde::{Deserialize, Serialize};

use super::{Attached, Properties};
use crate::{NetNs, NetworkError, model::Join};

/// An ipvlan, joined by traffic control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpVlan {
    /// The link.
    #[serde(flatten)]
    pub properties: Properties,
    /// How it is joined to the machine's tap.
    pub join: Join,
}

impl IpVlan {
    pub(super) async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        self.join.attach(namespace, &self.properties).await
    }

    pub(super) async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        self.join.detach(namespace, &self.properties).await
    }
}
