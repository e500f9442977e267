//! What an attachment has come to: the result of the last plugin, whatever version it was written in.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Object, Version};

/// The result of ADD (section 5 of the specification), in one form for all versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniResult {
    /// The interfaces that were made, those of the host too.
    #[serde(default)]
    pub interfaces: Vec<CniInterface>,
    /// The addresses that were given.
    #[serde(default)]
    pub ips: Vec<CniIp>,
    /// The routes that were made.
    #[serde(default)]
    pub routes: Vec<CniRoute>,
    /// Name resolution in this network.
    #[serde(default)]
    pub dns: CniDns,
}

/// An interface that a plugin has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniInterface {
    /// Its name.
    pub name: String,
    /// Its hardware address; empty where it has none.
    #[serde(default)]
    pub mac: String,
    /// Largest packet in bytes, where the plugin says so.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// The namespace that it is in; empty for the host's.
    #[serde(default)]
    pub sandbox: String,
    /// The vhost-user socket behind it.
    #[serde(default, rename = "socketPath")]
    pub socket_path: Option<String>,
    /// The PCI device behind it.
    #[serde(default, rename = "pciID")]
    pub pci_id: Option<String>,
}

/// An address that a plugin has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniIp {
    /// The address with the length of its prefix.
    pub address: IpNet,
    /// The default gateway there.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Its interface, by its place among the result's.
    #[serde(default)]
    pub interface: Option<usize>,
}

/// A route that a plugin has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniRoute {
    /// Where to.
    pub dst: IpNet,
    /// Over which neighbour.
    #[serde(default)]
    pub gw: Option<IpAddr>,
    /// Largest packet in bytes on this way.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Largest TCP segment to announce there.
    #[serde(default)]
    pub advmss: Option<u32>,
    /// Its metric: the lower wins.
    #[serde(default)]
    pub priority: Option<u32>,
    /// The routing table that it is in.
    #[serde(default)]
    pub table: Option<u32>,
    /// Its scope as rtnetlink counts it.
    #[serde(default)]
    pub scope: Option<u8>,
}

/// Name resolution as a network describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniDns {
    /// Addresses of name servers, the preferred one first.
    #[serde(default)]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default)]
    pub domain: Option<String>,
    /// Domains to search.
    #[serde(default)]
    pub search: Vec<String>,
    /// Options of the resolver.
    #[serde(default)]
    pub options: Vec<String>,
}

impl CniResult {
    /// Reads a result of any version from 0.3.0 on: they differ in what may be left out, and in the `version` of an
    /// address, which the address tells itself.
    pub(super) fn read(raw: &Object) -> Result<Self, serde_json::Error> {
        // Some plugins write null for an empty list.
        let present = raw.iter().filter(|(_, value)| !value.is_null());
        let result: Self = serde_json::from_value(Value::Object(
            present.map(|(key, value)| (key.clone(), value.clone())).collect(),
        ))?;
        let places = result.interfaces.len();
        match result.ips.iter().find(|ip| ip.interface.is_some_and(|place| place >= places)) {
            Some(ip) => Err(serde::de::Error::custom(format!(
                "address {} is on interface number {}, and there are {places}",
                ip.address,
                ip.interface.unwrap_or_default()
            ))),
            None => Ok(result),
        }
    }
}

/// Rewrites a result for plugins that are spoken to in `version`.
pub(super) fn in_version(mut raw: Object, version: Version) -> Object {
    let was = raw.insert("cniVersion".to_owned(), json!(version));
    if was.is_some_and(|was| was == json!(version)) {
        return raw;
    }
    for ip in raw.get_mut("ips").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(ip) = ip.as_object_mut() else { continue };
        if version < Version::V1_0_0 {
            let v6 = ip.get("address").and_then(Value::as_str).is_some_and(|address| address.contains(':'));
            ip.insert("version".to_owned(), json!(if v6 { "6" } else { "4" }));
        } else {
            ip.remove("version");
        }
    }
    raw
}
