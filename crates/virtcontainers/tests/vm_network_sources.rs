//! Real packets over links that others than `ip` bring: hooks of an engine, and a tap that another process serves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;
#[path = "guest/wire.rs"]
mod wire;

use std::{
    fs,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
    thread,
    time::Duration,
};

use guest::Stage;
use oci_spec::runtime::HookBuilder;
use virtcontainers::{DeleteMode, NetworkConfig, SandboxConfig};
use virtcontainers_network::{NetNs, watch::Changes};
use virtcontainers_sys::{netns, tap};
use virtcontainers_testkit::TestNetNs;
use wire::{HOST, Wire, ping, run, say, transfer};

/// As an engine of the other kind does it: the hook learns the namespace from the state, makes a pair of links, and keeps
/// one end in its own.
#[tokio::test(flavor = "multi_thread")]
async fn vm_prestart_hooks_fill_the_namespace() {
    let stage = Stage::new().await;
    let (host, files) = (TestNetNs::new(), tempfile::tempdir().unwrap());
    let path = files.path().join("hook");
    let script = format!(
        "#!/bin/sh
         pid=$(grep -o '\"pid\":[0-9]*' | cut -d: -f2)
         set -e
         nsenter --net={host} ip link add v0 type veth peer name eth0 netns $pid
         nsenter --net={host} ip addr add 10.7.0.1/24 dev v0
         nsenter --net={host} ip link set v0 up
         ip addr add 10.7.0.2/24 dev eth0
         ip link set eth0 up
         ip route add default via 10.7.0.1\n",
        host = host.path().display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let hook = HookBuilder::default().path(&path).build().unwrap();
    let network_config = NetworkConfig { prestart_hooks: vec![hook], ..NetworkConfig::default() };
    let containers = vec![stage.shell("c", "sleep 1000")];
    let config = SandboxConfig { network_config, containers, ..stage.config("box") };

    let (sandbox, container) = run(&stage.runtime(), config).await;
    assert!(say(&container, "ip route").await.contains("default via 10.7.0.1 dev eth0"));
    ping(&container, HOST[0], 56).await;
    transfer(&stage, &container, &host, HOST[0]).await;
    let made = sandbox.netns_path().await.unwrap().unwrap();
    let mut changes = Changes::open(&NetNs::open(host.path()).unwrap()).await.unwrap();
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert!(!made.exists());
    // The kernel takes a namespace apart some time after its last user has gone; the pair goes with it.
    let apart = async {
        while host.links() != ["lo"] {
            changes.next().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), apart).await.unwrap();
}

/// A tap whose frames a process of the test passes on to a tap of the host's namespace, as a VPN would.
struct Relay {
    ends: Vec<thread::JoinHandle<()>>,
}

impl Relay {
    fn between(one: &Path, other: &Path) -> Self {
        let (one, other) = (held_tap(one, "eth0"), held_tap(other, "v0"));
        let pass = |from: &OwnedFd, to: &OwnedFd| {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                let mut frame = vec![0; 70_000];
                // A tap that is gone, or down for ever, ends it.
                while let Ok(length @ 1..) = wait_and_read(&from, &mut frame) {
                    rustix::io::write(&to, &frame[..length]).ok(); // what does not fit is lost, as on any wire
                }
            })
        };
        Self { ends: vec![pass(&one, &other), pass(&other, &one)] }
    }

    fn end(self) {
        for end in self.ends {
            end.join().unwrap();
        }
    }
}

fn wait_and_read(tap: &OwnedFd, frame: &mut [u8]) -> rustix::io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        poll(&mut [PollFd::new(tap, PollFlags::IN)], None)?;
        match rustix::io::read(tap, &mut *frame) {
            Err(rustix::io::Errno::AGAIN) => {}
            read => return read,
        }
    }
}

fn held_tap(namespace: &Path, name: &'static str) -> OwnedFd {
    let namespace = NetNs::open(namespace).unwrap();
    let inside = move || {
        netns::enter(namespace.as_fd()).unwrap();
        tap::open(name, tap::TapOptions::default()).unwrap()
    };
    thread::spawn(inside).join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_a_tap_that_another_process_serves() {
    let stage = Stage::new().await;
    let mut relay = None;
    let wire = Wire::new(|ns, host| {
        relay = Some(Relay::between(ns.path(), host.path()));
        for (space, link) in [(ns, "eth0"), (host, "v0")] {
            space.ip(&format!("link set {link} up"));
        }
        wire::address(ns, host, "eth0", "v0");
    });
    let (sandbox, container) = run(&stage.runtime(), wire.config(&stage)).await;
    for host in HOST {
        ping(&container, host, 56).await;
        transfer(&stage, &container, &wire.host, host).await;
    }
    sandbox.delete(DeleteMode::Force).await.unwrap();
    wire.assert_as_found();
    // The links go, and the relay with them.
    wire.ns.ip("link del eth0");
    wire.host.ip("link del v0");
    relay.unwrap().end();
}
