//! Networks on the command line: `--net`, `--publish`, and `virtc network …`.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use virtcontainers::{NetInterworkingModel, PortMapping, Route, SandboxId};

/// The network of a sandbox to make.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetArgs {
    /// Network of the sandbox: none; cni:NAME, a CNI network of this host; netns:PATH, what is in a network namespace
    /// [default: none]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) net: Option<Net>,
    /// Publish a port of the guest on the host, by the CNI plugin portmap (may be repeated)
    #[arg(long = "publish", short = 'p', value_name = "[HOST_IP:]HOST:GUEST[/PROTO]")]
    pub(crate) publish: Vec<PortMapping>,
    /// How links of the network are joined to the machine: default, tcfilter, macvtap, none
    #[arg(long, value_name = "MODEL")]
    pub(crate) net_model: Option<NetInterworkingModel>,
    /// Keep the guest in step with its network namespace while it runs
    #[arg(long)]
    pub(crate) netmon: bool,
}

/// A network of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Net {
    /// No interface but `lo`.
    None,
    /// A CNI network by its name.
    Cni(String),
    /// What is in a network namespace.
    Netns(PathBuf),
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            Some(("cni", name)) if !name.is_empty() => Ok(Self::Cni(name.to_owned())),
            Some(("netns", path)) if !path.is_empty() => {
                let path = std::path::absolute(path).map_err(|error| error.to_string())?;
                Ok(Self::Netns(path))
            }
            Some(_) | None => Err("write none, cni:NAME or netns:PATH".to_owned()),
        }
    }
}

/// Interfaces and routes of running sandboxes.
#[derive(Debug, Args)]
pub(crate) struct NetworkCommand {
    #[command(subcommand)]
    pub(crate) verb: NetworkVerb,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkVerb {
    /// List the interfaces of a guest
    #[command(visible_alias = "ls")]
    List {
        /// The sandbox
        sandbox: SandboxId,
    },
    /// Plug a link of the sandbox's network namespace into its machine
    Add {
        /// The sandbox
        sandbox: SandboxId,
        /// The link's name in the namespace
        link: String,
        /// The interface's name in the guest [default: the link's]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Unplug an interface; its link stays in the namespace
    #[command(visible_alias = "rm")]
    Remove {
        /// The sandbox
        sandbox: SandboxId,
        /// The interface's name in the guest
        name: String,
    },
    /// List the routes of a guest, or change them
    Routes(RoutesArgs),
}

/// `virtc network routes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc network routes web
  virtc network routes web --add '10.7.0.0/16 via 10.1.0.1 dev eth0' --add 'default via fd00::1 dev eth0'
  virtc --json network routes web > routes.json; virtc network routes web --set routes.json")]
pub(crate) struct RoutesArgs {
    /// The sandbox
    pub(crate) sandbox: SandboxId,
    /// Add a route to those that there are (may be repeated)
    #[arg(long, value_name = "ROUTE", value_parser = route, conflicts_with = "set")]
    pub(crate) add: Vec<Route>,
    /// Have exactly the routes of this file, a JSON list as --json prints it
    #[arg(long, value_name = "FILE")]
    pub(crate) set: Option<PathBuf>,
}

/// Reads `DESTINATION [via GATEWAY] dev DEVICE [src ADDRESS]`, as ip(8) writes it.
pub(crate) fn route(text: &str) -> Result<Route, String> {
    let wrong = |what: &str| format!("{what}; write DESTINATION [via GATEWAY] dev DEVICE [src ADDRESS]");
    let mut words = text.split_whitespace();
    let destination = match words.next() {
        None => return Err(wrong("there is no destination")),
        Some("default") => None,
        Some(word) => {
            let host = |ip: IpAddr| ip.into();
            let net = word.parse().or_else(|error| word.parse().map(host).or(Err(error)));
            Some(net.map_err(|error| wrong(&format!("the destination {word:?} is none ({error})")))?)
        }
    };
    let (mut gateway, mut device, mut source) = (None, None, None);
    while let Some(key) = words.next() {
        let value = words.next().ok_or_else(|| wrong(&format!("nothing follows {key:?}")))?;
        let address =
            || value.parse::<IpAddr>().map_err(|error| wrong(&format!("{value:?} after {key:?}: {error}")));
        match key {
            "via" => gateway = Some(address()?),
            "src" => source = Some(address()?),
            "dev" => device = Some(value.to_owned()),
            _ => return Err(wrong(&format!("{key:?} is not known"))),
        }
    }
    let device = device.ok_or_else(|| wrong("there is no device"))?;
    let families = [destination.map(|net: ipnet::IpNet| net.addr()), gateway, source];
    let mut families = families.into_iter().flatten().map(|ip| ip.is_ipv6());
    let ipv6 = families.next().unwrap_or_default();
    if families.any(|other| other != ipv6) {
        return Err(wrong("the addresses are of both families"));
    }
    // What is on the link has the link's scope (rtnetlink(7)), and of IPv6 all routes are global.
    let scope = if gateway.is_none() && !ipv6 { 253 } else { 0 };
    Ok(Route { destination, gateway, device, source, scope, flags: 0, mtu: 0, ipv6 })
}

#[cfg(test)]
mod tests;
