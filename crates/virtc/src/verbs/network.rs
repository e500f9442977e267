//! `virtc network …`: interfaces and routes of running sandboxes.

use virtcontainers::{Interface, MacAddr, Route, SandboxId};

use super::open;
use crate::{
    cli::{Global, NetworkVerb, RoutesArgs},
    config,
    error::CliError,
    exit::Exit,
    output,
};

pub(super) async fn run(global: &Global, verb: NetworkVerb) -> Result<Exit, CliError> {
    match verb {
        NetworkVerb::List { sandbox } => list(global, &sandbox).await,
        NetworkVerb::Add { sandbox, link, name } => add(global, &sandbox, link, name).await,
        NetworkVerb::Remove { sandbox, name } => {
            let (_, runtime) = open(global)?;
            runtime.remove_interface(&sandbox, &name).await?;
            output::line(name)?;
            Ok(Exit::Done)
        }
        NetworkVerb::Routes(args) => routes(global, args).await,
    }
}

async fn list(global: &Global, sandbox: &SandboxId) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let found = runtime.list_interfaces(sandbox).await?;
    if global.json {
        output::json(&found)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = found
        .iter()
        .map(|interface| {
            let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
            [
                interface.name.clone(),
                interface.mac.to_string(),
                interface.mtu.to_string(),
                if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") },
            ]
        })
        .collect();
    output::table(["INTERFACE", "MAC", "MTU", "ADDRESSES"], &rows)?;
    Ok(Exit::Done)
}

async fn add(
    global: &Global,
    sandbox: &SandboxId,
    link: String,
    name: Option<String>,
) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    // What is not given is the link's own; its hardware address always is.
    let wanted = Interface {
        name: name.unwrap_or_else(|| link.clone()),
        device: link,
        mac: MacAddr([0; 6]),
        addresses: Vec::new(),
        mtu: 0,
        pci_path: None,
        kind: String::new(),
        raw_flags: 0,
    };
    let added = runtime.add_interface(sandbox, wanted).await?;
    if global.json {
        output::json(&added)?;
    } else {
        output::line(added.name)?;
    }
    Ok(Exit::Done)
}

async fn routes(global: &Global, args: RoutesArgs) -> Result<Exit, CliError> {
    let wanted: Option<Vec<Route>> = args.set.as_deref().map(config::read_json).transpose()?;
    let (_, runtime) = open(global)?;
    let found = match wanted {
        Some(wanted) => runtime.update_routes(&args.sandbox, wanted).await?,
        None if args.add.is_empty() => runtime.list_routes(&args.sandbox).await?,
        None => {
            let mut wanted = runtime.list_routes(&args.sandbox).await?;
            wanted.extend(args.add);
            runtime.update_routes(&args.sandbox, wanted).await?
        }
    };
    if global.json {
        output::json(&found)?;
    } else {
        let rows: Vec<_> = found.iter().map(row).collect();
        output::table(["DESTINATION", "GATEWAY", "DEVICE", "SOURCE"], &rows)?;
    }
    Ok(Exit::Done)
}

fn row(route: &Route) -> [String; 4] {
    let all = || if route.ipv6 { "::/0" } else { "0.0.0.0/0" }.to_owned();
    let shown = |ip: Option<std::net::IpAddr>| ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    [
        route.destination.map_or_else(all, |net| net.to_string()),
        shown(route.gateway),
        route.device.clone(),
        shown(route.source),
    ]
}
