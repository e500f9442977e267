//! A published port: one of the host that leads to one of the container (CNI's convention `portMappings`).

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

/// A port of the host that leads to one of the container. Written `[HOST_IP:]HOST:GUEST[/PROTOCOL]`, an IPv6 address in
/// brackets: `8080:80`, `127.0.0.1:5353:53/udp`, `[::1]:8080:80`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortMapping {
    /// The address on the host; none for all.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// Protocols with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The Transmission Control Protocol.
    #[default]
    Tcp,
    /// The User Datagram Protocol.
    Udp,
    /// The Stream Control Transmission Protocol.
    Sctp,
}

/// A text that publishes no port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} publishes no port: {reason}; write [HOST_IP:]HOST:GUEST[/tcp|/udp|/sctp], as 8080:80")]
pub struct InvalidPort {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl PortMapping {
    /// The form that plugins know.
    pub(super) fn to_capability(&self) -> Value {
        let mut mapping = json!({
            "hostPort": self.host_port,
            "containerPort": self.container_port,
            "protocol": self.protocol.as_str(),
        });
        if let (Some(ip), Some(object)) = (self.host_ip, mapping.as_object_mut()) {
            object.insert("hostIP".to_owned(), json!(ip));
        }
        mapping
    }
}

impl Protocol {
    /// Its name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            None => {}
        }
        write!(f, "{}:{}/{}", self.host_port, self.container_port, self.protocol)
    }
}

impl FromStr for PortMapping {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let wrong = |reason| InvalidPort { text: text.to_owned(), reason };
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((ports, "sctp")) => (ports, Protocol::Sctp),
            Some(_) => return Err(wrong("the protocol is none of tcp, udp and sctp")),
        };
        let (rest, guest) =
            ports.rsplit_once(':').ok_or_else(|| wrong("there is no ':' between two ports"))?;
        let (ip, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((ip, host)) => (Some(ip), host),
        };
        Ok(Self {
            host_ip: ip
                .map(|ip| address(ip).ok_or_else(|| wrong("the host's address is none")))
                .transpose()?,
            host_port: port(host).ok_or_else(|| wrong("the host's port is no number from 1 to 65535"))?,
            container_port: port(guest)
                .ok_or_else(|| wrong("the guest's port is no number from 1 to 65535"))?,
            protocol,
        })
    }
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// An IPv4 address as it is, one of IPv6 in brackets.
fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => Some(IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?)),
        None => Some(IpAddr::V4(text.parse().ok()?)),
    }
}
