//! The guest's network, in network namespaces that the tests make. They need root's rights and ip(8) of iproute2.

mod addresses;
mod appearing;
mod naming;
mod neighbors;
mod pci;
mod routes;
mod wire;

use std::{process::Command, time::Duration};

use tokio::runtime::Builder;
use virtcontainers_types::net::{Interface, MacAddr, Route};

use crate::network::interface::{self, Search};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// Does something on a thread in a network namespace of its own.
fn alone(work: impl AsyncFnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        crate::sys::namespace::leave_network().expect("run the tests as root");
        Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// As [`alone`], with a pair of links, `eth0` of hardware address [`MAC`] and `eth1` of [`OTHER_MAC`].
fn with_links(work: impl AsyncFnOnce() + Send + 'static) {
    alone(async || {
        ip(&format!("link add eth0 address {MAC} type veth peer name eth1 address {OTHER_MAC}"));
        work().await;
    });
}

/// Runs ip(8).
fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.expect("install iproute2: apt-get install iproute2");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A search that gives up soon, and is not led astray by the sysfs at hand, which shows another namespace.
fn search() -> Search {
    Search { class: "/absent".into(), patience: Duration::from_millis(200), ..Search::default() }
}

fn described(name: &str, mac: MacAddr, addresses: &[&str]) -> Interface {
    Interface {
        device: "tap0".to_owned(),
        name: name.to_owned(),
        mac,
        addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
        mtu: 1400,
        pci_path: None,
        kind: "veth".to_owned(),
        raw_flags: 0,
    }
}

async fn update(wanted: &Interface) -> Interface {
    interface::update(wanted.clone(), &search()).await.unwrap()
}

fn route(destination: &str, gateway: &str, device: &str) -> Route {
    let parsed = (destination.parse().ok(), gateway.parse().ok());
    Route {
        ipv6: destination.contains(':') || gateway.contains(':'),
        destination: parsed.0,
        gateway: parsed.1,
        device: device.to_owned(),
        source: None,
        scope: if gateway.is_empty() && !destination.contains(':') { 253 } else { 0 },
        flags: 0,
        mtu: 0,
    }
}
