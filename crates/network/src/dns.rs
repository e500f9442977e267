//! What a `resolv.conf` says, for the guest's own.

use std::{fs::File, io::Read as _, path::Path};

use serde::{Deserialize, Serialize};

use crate::NetworkError;

/// The most that is read of a `resolv.conf`, in bytes.
const LIMIT: u64 = 64 * 1024;

/// How names are resolved, as resolv.conf(5) and CNI have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers, in order of preference; with their zone where they have one.
    pub nameservers: Vec<String>,
    /// The local domain; empty for none.
    pub domain: String,
    /// Where short names are looked for.
    pub search: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

impl Dns {
    /// The lines of a `resolv.conf` that say the same.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> =
            self.nameservers.iter().map(|server| format!("nameserver {server}")).collect();
        if !self.domain.is_empty() {
            lines.push(format!("domain {}", self.domain));
        }
        for (word, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                lines.push(format!("{word} {}", values.join(" ")));
            }
        }
        lines
    }

    /// Understands the text of a `resolv.conf`. As with the resolver, a later `domain` or `search` replaces an earlier one, and
    /// unknown lines are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut dns = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            let Some(word) = words.next() else { continue };
            match word {
                "nameserver" => dns.nameservers.extend(words.next().map(str::to_owned)),
                "options" => dns.options.extend(words.map(str::to_owned)),
                "search" => {
                    dns.domain.clear();
                    dns.search = words.map(str::to_owned).collect();
                }
                "domain" => {
                    dns.search.clear();
                    dns.domain = words.next().unwrap_or_default().to_owned();
                }
                _ => {}
            }
        }
        dns
    }
}

/// Reads a `resolv.conf`, its first 64 KiB at most.
///
/// # Errors
/// [`NetworkError::Io`] with the path.
pub fn read(path: &Path) -> Result<Dns, NetworkError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(NetworkError::io("open", path))?;
    file.take(LIMIT).read_to_end(&mut text).map_err(NetworkError::io("read", path))?;
    Ok(Dns::parse(&String::from_utf8_lossy(&text)))
}
