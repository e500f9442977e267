//! Checks of a sandbox as a whole.

use std::collections::BTreeMap;

use virtcontainers_types::{AgentKind, ProxyKind, SandboxId, ShimKind, Transport};

use super::{HostFacts, Problem, Report, SandboxConfig, Wanted, hypervisor, network};
use crate::{
    cgroup::{Location, systemd_runs},
    config::KataAgentConfig,
    privileges::{Ability, Privileges},
};

/// Annotations under this prefix would change the configuration.
const CONFIG_ANNOTATIONS: &str = "io.katacontainers.config.";
/// The longest hostname that Linux takes (`__NEW_UTS_LEN`).
const MAX_HOSTNAME: usize = 64;
/// The largest pipe, in bytes: what fits into 31 bits when it is rounded up to a power of two.
const MAX_PIPE_SIZE: u32 = 1 << 30;
/// The most lines of a guest's resolv.conf.
const MAX_DNS: usize = 64;

pub(super) fn check(config: &SandboxConfig, host: &HostFacts, report: &mut Report) -> Option<SandboxId> {
    let id = report.take("id", SandboxId::new(config.id.as_str()));
    check_hostname(&config.hostname, report);
    report.within("hypervisor_config", |report| {
        hypervisor::check(&config.hypervisor_config, config.hypervisor_type, host, report);
    });
    report.within("agent_config", |report| check_agent(&config.agent_config, report));
    check_channel(config, report);
    if config.shim_type == ShimKind::Kata && config.agent_type == AgentKind::Noop {
        let remedy = "there is no process to stand for: leave shim_type out";
        report.add("shim_type", Problem::Conflict { other: "agent_type", remedy });
    }
    report.within("shim_config", |report| {
        if let Some(path) = &config.shim_config.path {
            report.path("path", path, Wanted::Program, "install it, or leave the field out");
        }
        report.not_built("debug", config.shim_config.debug);
        report.not_built("trace", config.shim_config.trace);
    });
    report.within("network_config", |report| network::check(config, report));
    report.not_built("volumes", !config.volumes.is_empty());
    check_annotations(&config.annotations, report);
    check_dns(&config.dns, report);
    check_cgroups(config, report);
    check_privileges(config, host.privileges, report);
    report.not_built("enable_agent_pid_ns", config.enable_agent_pid_ns);
    report.not_built("experimental", !config.experimental.is_empty());
    id
}

/// What this process may not do is not begun.
fn check_privileges(config: &SandboxConfig, privileges: Privileges, report: &mut Report) {
    if config.agent_type != AgentKind::Noop
        && let Some(refusal) = privileges.refusal(Ability::Containers)
    {
        report.add("containers", Problem::Unprivileged(refusal));
    }
    if config.network_config.has_namespace()
        && let Some(refusal) = privileges.refusal(Ability::Networks)
    {
        report.add("network_config", Problem::Unprivileged(refusal));
    }
}

/// Where they are to be, whether this host has that, and limits that hold something.
fn check_cgroups(config: &SandboxConfig, report: &mut Report) {
    let place = config.cgroups.as_deref();
    if let Err(expected) = Location::parse(place, config.systemd_cgroup) {
        report.invalid("cgroups", place.unwrap_or_default(), expected);
    }
    if config.systemd_cgroup && !systemd_runs() {
        report.add("systemd_cgroup", Problem::NoSystemd);
    }
    if config.memory_overhead.0 > 0 && !config.sandbox_cgroup_only {
        let remedy = "memory is limited only with it: set it, or leave memory_overhead out";
        report.add("memory_overhead", Problem::Conflict { other: "sandbox_cgroup_only = false", remedy });
    }
}

/// Keys must be there and be no configuration.
pub(super) fn check_annotations(annotations: &BTreeMap<String, String>, report: &mut Report) {
    for key in annotations.keys() {
        if key.starts_with(CONFIG_ANNOTATIONS) {
            report.add(&format!("annotations.{key}"), Problem::NotBuilt);
        }
        if key.is_empty() {
            report.add("annotations", Problem::Missing("give every annotation a key"));
        }
    }
}

/// Lines of resolv.conf(5), which has its bounds.
fn check_dns(dns: &[String], report: &mut Report) {
    for (index, line) in dns.iter().enumerate() {
        if line.contains(['\n', '\0']) || line.len() > 4096 || index >= MAX_DNS {
            report.invalid(
                &format!("dns[{index}]"),
                line,
                "write at most 64 lines of resolv.conf, one an entry",
            );
        }
    }
}

fn check_hostname(hostname: &str, report: &mut Report) {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !hostname.is_empty() && (hostname.len() > MAX_HOSTNAME || !hostname.split('.').all(label)) {
        report.add(
            "hostname",
            Problem::Invalid {
                found: hostname.to_owned(),
                expected: "write at most 64 ASCII letters, digits, '-' and '.', no label empty or with '-' at an end",
            },
        );
    }
}

fn check_agent(config: &KataAgentConfig, report: &mut Report) {
    report.not_built("trace", config.trace);
    if config.container_pipe_size > MAX_PIPE_SIZE {
        let found = config.container_pipe_size.to_string();
        report.invalid(
            "container_pipe_size",
            found,
            "give at most 1073741824 bytes, or 0 for the agent's own choice",
        );
    }
    for (index, module) in config.kernel_modules.iter().enumerate() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let name = module.split_whitespace().next().unwrap_or_default();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) || module.contains('\0') {
            let expected = "write a module's name, then its parameters: name key=value …";
            report.invalid(&format!("kernel_modules[{index}]"), module, expected);
        }
    }
    report.not_built("trace_mode", config.trace_mode.is_some());
    report.not_built("trace_type", config.trace_type.is_some());
    if config.boot_timeout.0 == 0 {
        report.add(
            "boot_timeout",
            Problem::Invalid { found: "0".into(), expected: "give a guest at least a second to boot" },
        );
    }
}

/// Transport and proxy must fit together.
fn check_channel(config: &SandboxConfig, report: &mut Report) {
    let transport = config.hypervisor_config.transport;
    let wants_vsock = config.hypervisor_config.use_vsock || config.agent_config.use_vsock;
    if config.agent_config.debug_console && transport == Transport::VirtioSerial {
        let remedy = "a shell needs a port of its own: choose a vsock transport, or leave debug_console out";
        report.add(
            "agent_config.debug_console",
            Problem::Conflict { other: "hypervisor_config.transport", remedy },
        );
    }
    if wants_vsock && transport == Transport::VirtioSerial {
        report.add(
            "hypervisor_config.transport",
            Problem::Conflict {
                other: "use_vsock",
                remedy: "choose a vsock transport, or leave use_vsock out",
            },
        );
    }
    let conflict = |remedy| Problem::Conflict { other: "hypervisor_config.transport", remedy };
    match (config.proxy_type, transport) {
        (ProxyKind::None, Transport::VirtioSerial) => report.add(
            "proxy_type",
            conflict("virtio-serial needs a proxy: use \"kata\", \"kata-built-in\" or \"auto\""),
        ),
        (ProxyKind::Kata | ProxyKind::KataBuiltIn, Transport::Vsock | Transport::HybridVsock) => {
            report.add("proxy_type", conflict("a vsock needs no proxy: use \"none\" or \"auto\""));
        }
        (ProxyKind::Noop, _) if config.agent_type != AgentKind::Noop => {
            report.add(
                "proxy_type",
                Problem::Conflict {
                    other: "agent_type",
                    remedy: "the noop proxy goes with the noop agent only",
                },
            );
        }
        (ProxyKind::Kata | ProxyKind::KataBuiltIn, _) if wants_vsock => report.add(
            "proxy_type",
            Problem::Conflict {
                other: "use_vsock",
                remedy: "a vsock needs no proxy: use \"none\" or \"auto\"",
            },
        ),
        (
            ProxyKind::Auto | ProxyKind::None | ProxyKind::Kata | ProxyKind::KataBuiltIn | ProxyKind::Noop,
            Transport::Auto | Transport::Vsock | Transport::HybridVsock | Transport::VirtioSerial,
        ) => {}
    }
    report.within("proxy_config", |report| {
        if let Some(path) = &config.proxy_config.path {
            report.path("path", path, Wanted::Program, "install it, or leave the field out");
        }
        report.not_built("debug", config.proxy_config.debug);
    });
}
