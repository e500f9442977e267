//! A tap whose frames another process serves (a VPN, a user-mode network stack): they are led to a tap of the machine's own.

use serde::{Deserialize, Serialize};

use super::{Attached, Properties};
use crate::{NetNs, NetworkError, model::Join};

/// A tap that another process holds, joined by either model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuntap {
    /// The link.
    #[serde(flatten)]
    pub properties: Properties,
    /// How it is joined to the machine's tap.
    pub join: Join,
}

impl Tuntap {
    pub(super) async fn attach(&self, namespace: &NetNs) -> Result<Attached, NetworkError> {
        self.join.attach(namespace, &self.properties).await
    }

    pub(super) async fn detach(&self, namespace: &NetNs) -> Result<(), NetworkError> {
        self.join.detach(namespace, &self.properties).await
    }
}
