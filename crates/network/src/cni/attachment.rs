//! What is attached to a network: one interface of one container, and what is asked of the plugins for it.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use virtcontainers_types::net::MacAddr;

use super::{CniError, Object, PortMapping};

/// Longest container id that goes into the name of a cached file.
const ID_LIMIT: usize = 128;

/// One interface of one container ("attachment parameters" of the specification's section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The container's id: a letter or digit, then letters, digits, `_`, `.` and `-`.
    pub container_id: String,
    /// Path of its network namespace.
    pub netns: PathBuf,
    /// The interface's name in that namespace.
    pub ifname: String,
    /// Further arguments, for every plugin (`CNI_ARGS`). Many plugins refuse what they do not know unless one of these is
    /// `IgnoreUnknown=1`.
    #[serde(default)]
    pub args: Vec<(String, String)>,
    /// Ports of the host that lead to the container. Some plugin of the network must declare the capability
    /// `portMappings`.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// Addresses to have. Some plugin of the network must declare the capability `ips`.
    #[serde(default)]
    pub ips: Vec<IpNet>,
    /// Hardware address to have. Some plugin of the network must declare the capability `mac`.
    #[serde(default)]
    pub mac: Option<MacAddr>,
    /// Values for further capabilities by their names (`bandwidth`, `aliases`, `ipRanges`, `dns`, …), handed to the
    /// plugins that declare them, and to nobody otherwise.
    #[serde(default)]
    pub capabilities: Object,
}

impl Attachment {
    /// The interface `eth0` of a container, with nothing asked for.
    #[must_use]
    pub fn new(container_id: impl Into<String>, netns: impl Into<PathBuf>) -> Self {
        Self {
            container_id: container_id.into(),
            netns: netns.into(),
            ifname: "eth0".to_owned(),
            args: Vec::new(),
            port_mappings: Vec::new(),
            ips: Vec::new(),
            mac: None,
            capabilities: Object::new(),
        }
    }

    /// Refuses what the specification does not allow, or what could not be told apart in `CNI_ARGS`.
    pub(super) fn check(&self) -> Result<(), CniError> {
        let wrong =
            |what, value: &str, rule| Err(CniError::BadAttachment { what, value: value.to_owned(), rule });
        if !is_name(&self.container_id) || self.container_id.len() > ID_LIMIT {
            let rule = "a letter or digit, then letters, digits, '_', '.' and '-', at most 128 in all";
            return wrong("container id", &self.container_id, rule);
        }
        if !is_ifname(&self.ifname) {
            let rule = "1 to 15 characters without '/', ':' and blanks, and not \".\" or \"..\"";
            return wrong("interface name", &self.ifname, rule);
        }
        if !self.netns.is_absolute() {
            return wrong("network namespace", &self.netns.to_string_lossy(), "an absolute path");
        }
        let bad = |text: &str| text.contains([';', '=', '\0']);
        if let Some((key, value)) =
            self.args.iter().find(|(key, value)| key.is_empty() || bad(key) || bad(value))
        {
            return wrong("argument", &format!("{key}={value}"), "KEY=VALUE without further '=' and ';'");
        }
        Ok(())
    }

    /// The value of `CNI_ARGS`.
    pub(super) fn args(&self) -> String {
        self.args.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")
    }

    /// What is asked for, by capability, and whether somebody must serve it.
    pub(super) fn wishes(&self) -> Vec<(&str, Value, bool)> {
        let mut wishes = Vec::new();
        if !self.port_mappings.is_empty() {
            let ports = self.port_mappings.iter().map(PortMapping::to_capability).collect();
            wishes.push(("portMappings", Value::Array(ports), true));
        }
        if !self.ips.is_empty() {
            wishes.push(("ips", json!(self.ips), true));
        }
        if let Some(mac) = self.mac {
            wishes.push(("mac", json!(mac), true));
        }
        wishes.extend(self.capabilities.iter().map(|(name, value)| (name.as_str(), value.clone(), false)));
        wishes
    }
}

/// Whether it is a name in the sense of the specification: such a name is no path.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_ifname(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control())
}
