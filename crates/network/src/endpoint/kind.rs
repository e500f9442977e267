//! The kinds of endpoint, by name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The kind of an [`Endpoint`](super::Endpoint).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointType {
    /// [`Endpoint::Veth`](super::Endpoint::Veth).
    Veth,
    /// [`Endpoint::BridgedMacvlan`](super::Endpoint::BridgedMacvlan).
    BridgedMacvlan,
    /// [`Endpoint::IpVlan`](super::Endpoint::IpVlan).
    IpVlan,
    /// [`Endpoint::Macvtap`](super::Endpoint::Macvtap).
    Macvtap,
    /// [`Endpoint::Tap`](super::Endpoint::Tap).
    Tap,
    /// [`Endpoint::Tuntap`](super::Endpoint::Tuntap).
    Tuntap,
    /// [`Endpoint::Physical`](super::Endpoint::Physical).
    Physical,
    /// [`Endpoint::VhostUser`](super::Endpoint::VhostUser).
    VhostUser,
}

impl EndpointType {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Veth,
        Self::BridgedMacvlan,
        Self::IpVlan,
        Self::Macvtap,
        Self::Tap,
        Self::Tuntap,
        Self::Physical,
        Self::VhostUser,
    ];

    /// Its name, as in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::BridgedMacvlan => "bridged-macvlan",
            Self::IpVlan => "ip-vlan",
            Self::Macvtap => "macvtap",
            Self::Tap => "tap",
            Self::Tuntap => "tuntap",
            Self::Physical => "physical",
            Self::VhostUser => "vhost-user",
        }
    }
}

/// A text that names no kind of endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of endpoint: the kinds are {kinds}", kinds = EndpointType::ALL.map(EndpointType::as_str).join(", "))]
pub struct UnknownEndpointType(pub String);

impl FromStr for EndpointType {
    type Err = UnknownEndpointType;

    fn from_str(name: &str) -> Result<Self, UnknownEndpointType> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| UnknownEndpointType(name.to_owned()))
    }
}

impl fmt::Display for EndpointType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
