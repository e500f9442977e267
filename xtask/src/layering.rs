//! Dependencies between the workspace's crates point down only.
//!
//! [`HOUSE`] lists the crates from the ground up, each with the crates it may use. A new edge is a decision: it is made here
//! and explained in ARCHITECTURE.md, never by a line in a Cargo.toml alone.

use crate::{Finding, metadata::Workspace};

#[cfg(test)]
mod tests;

/// Each crate (its name without `virtcontainers-`) and what it may depend on. Lower crates come first.
const HOUSE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("sys", &["types"]),
    ("agent-protocol", &["types", "sys"]),
    ("guest-agent", &["types", "sys", "agent-protocol"]),
    ("guest-image", &["types", "sys"]),
    ("store", &["types", "sys"]),
    ("device", &["types", "sys", "store"]),
    ("network", &["types", "sys", "store"]),
    ("hypervisor", &["types", "sys", "store"]),
    ("vsock-device", &["types", "sys"]),
    // A program of its own, because it needs C libraries.
    ("virtiofs-device", &["sys"]),
    // Its small program is also the guest's vsock device.
    ("agent-client", &["types", "sys", "agent-protocol", "vsock-device"]),
    (
        "virtcontainers",
        &["types", "sys", "agent-protocol", "store", "device", "network", "hypervisor", "agent-client"],
    ),
    ("containerd-shim", &["virtcontainers", "types"]),
    // The command line also hosts the helper processes and asks each floor what this host can do.
    (
        "virtc",
        &[
            "virtcontainers",
            "types",
            "sys",
            "guest-image",
            "device",
            "network",
            "hypervisor",
            "agent-client",
            "vsock-device",
        ],
    ),
];

/// Serves tests: everyone may have it as a dev-dependency, and only the ground floor is below it.
const TESTKIT: (&str, &[&str]) = ("testkit", &["types", "sys"]);

/// Tools that are no part of the house: nothing depends on them, and they depend on nothing in it.
const OUTSIDE: &[&str] = &["xtask"];

/// Every edge that does not point down.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let members: Vec<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let from = room(&package.name);
        let allowed = match allowed(from) {
            Some(allowed) => allowed,
            None if OUTSIDE.contains(&from) => &[],
            None => {
                findings.push(Finding::new(
                    package.manifest(),
                    format!("the crate {from} has no floor: give it a row in xtask/src/layering.rs"),
                ));
                continue;
            }
        };
        for dependency in &package.dependencies {
            let to = room(&dependency.name);
            if !members.contains(&dependency.name.as_str()) || allowed.contains(&to) {
                continue;
            }
            // Tests may use whatever lies below, and the testkit.
            if dependency.is_dev() && (to == TESTKIT.0 || floor(to) < floor(from)) {
                continue;
            }
            let allowed =
                if allowed.is_empty() { "nothing of this workspace".to_owned() } else { allowed.join(", ") };
            let what = dependency.kind.as_deref().unwrap_or("normal");
            findings.push(Finding::new(
                package.manifest(),
                format!("{from} -> {to} ({what} dependency): {from} may depend on {allowed}"),
            ));
        }
    }
    findings
}

fn room(package: &str) -> &str {
    package.strip_prefix("virtcontainers-").unwrap_or(package)
}

fn allowed(room: &str) -> Option<&'static [&'static str]> {
    HOUSE.iter().chain([&TESTKIT]).find(|(name, _)| *name == room).map(|(_, allowed)| *allowed)
}

/// How high a crate lies; unknown crates and the testkit's users lie highest.
fn floor(room: &str) -> usize {
    HOUSE.iter().position(|(name, _)| *name == room).unwrap_or(HOUSE.len())
}
