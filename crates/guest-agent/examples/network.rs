//! Drives the calls about a guest's network in a virtual machine, and says what became of each.
//!
//! - `network serial:SOCKET update NAME MAC|- PCI-PATH|- MTU ADDRESS/LENGTH…` makes an interface,
//! - `network serial:SOCKET routes DESTINATION|default,GATEWAY|-,DEVICE…` makes the routes,
//! - `network serial:SOCKET neighbor ADDRESS MAC DEVICE` tells of a neighbour,
//! - `network serial:SOCKET show` lists interfaces and routes,
//! - `network serial:SOCKET memory` tells how much memory the agent has.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "an example talks, and ends at the first surprise"
)]

use std::time::Instant;

use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, agent::*, types},
    transport::{self, Mux},
};

fn context() -> ttrpc::context::Context {
    ttrpc::context::with_timeout(60_000_000_000)
}

fn given(word: &str) -> String {
    if word == "-" { String::new() } else { word.to_owned() }
}

fn interface(words: &[&str]) -> types::Interface {
    let [name, mac, path, mtu, addresses @ ..] = words else { panic!("NAME MAC PATH MTU ADDRESS…") };
    let addresses = addresses.iter().map(|text| {
        let (address, mask) = text.split_once('/').unwrap();
        types::IPAddress { address: address.into(), mask: mask.into(), ..Default::default() }
    });
    types::Interface {
        IPAddresses: addresses.collect(),
        name: (*name).to_owned(),
        hwAddr: given(mac),
        devicePath: given(path),
        mtu: mtu.parse().unwrap(),
        ..Default::default()
    }
}

fn route(text: &&str) -> types::Route {
    let parts: Vec<&str> = text.split(',').collect();
    let [dest, gateway, device] = parts[..] else { panic!("DESTINATION,GATEWAY,DEVICE") };
    let dest = if dest == "default" { String::new() } else { dest.to_owned() };
    let scope = if gateway == "-" && !dest.contains(':') { 253 } else { 0 };
    types::Route { dest, gateway: given(gateway), device: device.to_owned(), scope, ..Default::default() }
}

async fn run(client: &AgentServiceClient, words: &[&str]) -> ttrpc::Result<()> {
    match words {
        ["update", rest @ ..] => {
            let request =
                UpdateInterfaceRequest { interface: Some(interface(rest)).into(), ..Default::default() };
            println!("{}", client.update_interface(context(), &request).await?);
        }
        ["routes", rest @ ..] => {
            let routes = Routes { Routes: rest.iter().map(route).collect(), ..Default::default() };
            let request = UpdateRoutesRequest { routes: Some(routes).into(), ..Default::default() };
            println!("{}", client.update_routes(context(), &request).await?);
        }
        ["neighbor", address, mac, device] => {
            let to = types::IPAddress { address: (*address).to_owned(), ..Default::default() };
            let neighbor = types::ARPNeighbor {
                toIPAddress: Some(to).into(),
                device: (*device).to_owned(),
                lladdr: (*mac).to_owned(),
                ..Default::default()
            };
            let neighbors = ARPNeighbors { ARPNeighbors: vec![neighbor], ..Default::default() };
            let request = AddARPNeighborsRequest { neighbors: Some(neighbors).into(), ..Default::default() };
            client.add_arp_neighbors(context(), &request).await?;
        }
        ["show"] => {
            let interfaces = client.list_interfaces(context(), &ListInterfacesRequest::new()).await?;
            interfaces.Interfaces.iter().for_each(|interface| println!("{interface}"));
            let routes = client.list_routes(context(), &ListRoutesRequest::new()).await?;
            routes.Routes.iter().for_each(|route| println!("{route}"));
        }
        ["memory"] => {
            let metrics = client.get_metrics(context(), &GetMetricsRequest::new()).await?.metrics;
            metrics.lines().filter(|line| line.contains("_rss ")).for_each(|line| println!("{line}"));
        }
        _ => panic!("usage: network serial:SOCKET update|routes|neighbor|show|memory …"),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [address, words @ ..] = &arguments[..] else { panic!("usage: network serial:SOCKET COMMAND…") };
    let path = address.strip_prefix("serial:").unwrap();
    let mux = Mux::client(tokio::net::UnixStream::connect(path).await.unwrap());
    let client = AgentServiceClient::new(transport::client(mux.open().await.unwrap()));
    let start = Instant::now();
    let outcome = run(&client, words).await;
    println!("{:.1} ms {}", start.elapsed().as_secs_f64() * 1e3, words[0]);
    if let Err(error) = outcome {
        println!("{error}");
    }
}
