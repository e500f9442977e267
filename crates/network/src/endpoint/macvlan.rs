//! A macvlan. Only traffic control joins it: a macvtap on top of it would become its sibling, on the card below.

use serde::{Deserialize, Serialize};

use super::{Attached, Properties};
use crate::{NetNs, NetworkError, model::Join};

/// A macvlan, joined by traffic control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgedMacvlan {
    /// The link.
    #[serde(flatten)]
    pub properties: Properties,
    /// How it is joined to the machine's tap.
    pub join: Join,
}

impl BridgedMacvlan {
    pub(super) async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        self.join.attach(namespace, &self.properties).await
    }

    pub(super) async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        self.join.detach(namespace, &self.properties).await
    }
}
