//! Sandboxes on a host that has all that a kernel can have: KVM, the kernel's vsock, the kernel's network back end, ipvlan,
//! vfio. In the lab, whose own processor is emulated: its guests take minutes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;
#[path = "guest/wire.rs"]
mod wire;

use std::{fs, future::Future};

use guest::Stage;
use virtcontainers::{DeleteMode, SandboxConfig, Seconds, StopMode};
use virtcontainers_testkit::Lab;
use wire::{HOST, Wire, ping, run, transfer, transfer_in};

fn lab() -> Lab {
    Lab::new().seconds(540)
}

fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// For a guest that takes its time.
fn patient(mut config: SandboxConfig) -> SandboxConfig {
    config.agent_config.boot_timeout = Seconds(300);
    config.hypervisor_config.memory_size = virtcontainers::MiB(256);
    config.hypervisor_config.debug = std::env::var_os("VC_LAB_DEBUG").is_some();
    config
}

/// The words by which the sandbox's QEMU was called.
fn words_of_qemu() -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|process| {
        let line = fs::read(process.unwrap().path().join("cmdline")).ok()?;
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        Some(words.collect::<Vec<_>>())
    });
    let mut qemus = lines.filter(|words| words.iter().any(|word| word.starts_with("sandbox-box")));
    qemus.next().unwrap_or_else(|| panic!("no QEMU of the sandbox runs"))
}

fn device(words: &[String], name: &str) -> String {
    let found = words.iter().find(|word| word.starts_with(name));
    found.unwrap_or_else(|| panic!("no {name}: {words:?}")).clone()
}

/// What the library chooses where all is to be had: KVM, the kernel's vsock, the kernel's network back end.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_sandbox_of_kvm_vsock_and_vhost_net() {
    lab().run(|| {
        in_time(async {
            let (stage, wire) = (Stage::new().await, Wire::veth());
            let (sandbox, container) = run(&stage.runtime(), patient(wire.config(&stage))).await;
            let words = words_of_qemu();
            assert!(device(&words, "kvm").starts_with("kvm,"), "{words:?}");
            assert!(device(&words, "vhost-vsock-pci").contains("vhostfd="), "{words:?}");
            assert!(device(&words, "tap,").contains("vhostfd"), "{words:?}");
            assert_eq!(sandbox.status().await.unwrap().id.to_string(), "box");
            for host in HOST {
                ping(&container, host, 56).await;
                transfer(&stage, &container, &wire.host, host).await;
            }
            transfer_in(&container, 7001, &wire.host, "10.7.0.2", 7001).await;
            sandbox.stop(StopMode::Graceful).await.unwrap();
            wire.assert_as_found();
            sandbox.delete(DeleteMode::IfStopped).await.unwrap();
        });
    });
}

/// An ipvlan of the sandbox's namespace, on a link of the host's namespace whose other ipvlan answers.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_sandbox_with_an_ipvlan() {
    lab().run(|| {
        in_time(async {
            let stage = Stage::new().await;
            let wire = Wire::new(|ns, host| {
                host.ip("link add low type veth peer name far");
                host.ip("link set low up");
                host.ip("link set far up");
                for name in ["v0", "eth0"] {
                    host.ip(&format!("link add link low name {name} type ipvlan mode l2 bridge"));
                }
                host.ip("link set v0 up");
                wire::give(host, "eth0", ns);
                ns.ip("link set eth0 up");
                wire::address(ns, host, "eth0", "v0");
            });
            let (sandbox, container) = run(&stage.runtime(), patient(wire.config(&stage))).await;
            for host in HOST {
                ping(&container, host, 56).await;
                transfer(&stage, &container, &wire.host, host).await;
            }
            sandbox.stop(StopMode::Graceful).await.unwrap();
            wire.assert_as_found();
            sandbox.delete(DeleteMode::IfStopped).await.unwrap();
        });
    });
}
