//! Checks of a sandbox's network. The namespace itself is looked at when it is entered.

use std::path::Path;

use virtcontainers_network::endpoint::MAX_QUEUES;
use virtcontainers_types::{HypervisorKind, MachineType, NetInterworkingModel};

use super::{Problem, Report, SandboxConfig, Wanted};
use crate::config::{CniConfig, NetmonConfig, NetworkConfig};

/// The longest name of a link (`IFNAMSIZ` without its end).
const MAX_LINK_NAME: usize = 15;

pub(super) fn check(sandbox: &SandboxConfig, report: &mut Report) {
    let config = &sandbox.network_config;
    check_namespace(config, report);
    report.within("netmon", |report| check_netmon(&config.netmon, sandbox, report));
    if let Some(cni) = &config.cni {
        report.within("cni", |report| check_cni(cni, report));
    }
    for (index, hook) in config.prestart_hooks.iter().enumerate() {
        report.path(
            &format!("prestart_hooks[{index}].path"),
            hook.path(),
            Wanted::Program,
            "install the hook, or leave it out",
        );
    }
    if let Some(dir) = &config.vhost_user_dir {
        report.path("vhost_user_dir", dir, Wanted::Directory, "make the directory, or leave the field out");
    }
    if config.queues > MAX_QUEUES {
        report.invalid("queues", config.queues, "write at most 256 pairs of queues, or 0 for one");
    }
}

fn check_namespace(config: &NetworkConfig, report: &mut Report) {
    if let Some(path) = &config.netns_path {
        let remedy = "make the namespace (ip netns add), or leave the field out";
        report.path("netns_path", path, Wanted::Anything, remedy);
    }
    if !config.disable_new_netns {
        return;
    }
    if config.interworking_model != NetInterworkingModel::None {
        let remedy = "the host's own links are not given to a guest: set the model to none, for a sandbox without \
                      interfaces, or name a namespace of its own with netns_path";
        report.add("disable_new_netns", Problem::Conflict { other: "interworking_model", remedy });
    }
    let remedy = "the caller's own namespace is either kept or left: give one of the two";
    let others = [
        ("netns_path", config.netns_path.is_some()),
        ("netns_created", config.netns_created),
        ("cni", config.cni.is_some()),
        ("prestart_hooks", !config.prestart_hooks.is_empty()),
    ];
    for (other, _) in others.into_iter().filter(|(_, given)| *given) {
        report.add("disable_new_netns", Problem::Conflict { other, remedy });
    }
}

fn check_netmon(config: &NetmonConfig, sandbox: &SandboxConfig, report: &mut Report) {
    report.not_built("debug", config.debug);
    if let Some(path) = &config.path {
        report.path("path", path, Wanted::Program, "install it, or leave the field out");
    }
    if !config.enable {
        return;
    }
    if !sandbox.network_config.has_namespace() {
        report
            .add("enable", Problem::Missing("it watches a namespace: give netns_path, netns_created or cni"));
    }
    let machine = sandbox.hypervisor_config.hypervisor_machine_type;
    if machine == MachineType::Microvm && sandbox.hypervisor_type != HypervisorKind::Mock {
        let remedy = "a microvm takes no interface once it runs: use q35 or pc, or leave netmon out";
        report
            .add("enable", Problem::Conflict { other: "hypervisor_config.hypervisor_machine_type", remedy });
    }
}

fn check_cni(config: &CniConfig, report: &mut Report) {
    if config.network.is_empty() {
        report.add("network", Problem::Missing("name a network of conf_dir"));
    } else if config.network.contains(['/', '\0', '\n']) {
        report.invalid("network", &config.network, "write a name without slashes and line ends");
    }
    let directory = |report: &mut Report, field: &str, path: &Path| {
        report.path(field, path, Wanted::Directory, "install the CNI plugins, or name where they are");
    };
    if let Some(dir) = &config.conf_dir {
        directory(report, "conf_dir", dir);
    }
    for (index, dir) in config.plugin_dirs.iter().enumerate() {
        directory(report, &format!("plugin_dirs[{index}]"), dir);
    }
    if let Some(path) = &config.host_netns {
        report.path("host_netns", path, Wanted::Anything, "make the namespace, or leave the field out");
    }
    if let Some(name) = &config.ifname {
        check_link_name("ifname", name, report);
    }
    for (index, mapping) in config.port_mappings.iter().enumerate() {
        if mapping.host_port == 0 || mapping.container_port == 0 {
            let expected = "write ports from 1 to 65535";
            report.invalid(&format!("port_mappings[{index}]"), 0, expected);
        }
    }
    for (key, value) in &config.args {
        if key.is_empty() || [key, value].iter().any(|word| word.contains(['=', ';', '\0'])) {
            let expected = "write keys and values without '=' and ';'";
            report.invalid(&format!("args.{key}"), format!("{key}={value}"), expected);
        }
    }
}

/// What the kernel takes for a link's name (`dev_valid_name`).
pub(super) fn check_link_name(field: &str, name: &str, report: &mut Report) {
    let breaks = |c: char| c.is_whitespace() || c == '/' || c == ':' || c == '\0';
    if name.is_empty() || name.len() > MAX_LINK_NAME || matches!(name, "." | "..") || name.contains(breaks) {
        report.invalid(field, name, "write at most 15 characters, no blank, '/' or ':'");
    }
}
