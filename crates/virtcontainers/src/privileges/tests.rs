use std::path::PathBuf;

use virtcontainers_types::{AgentKind, HypervisorKind, MiB};

use super::{Ability, Privileges};
use crate::config::{HostFacts, NetworkConfig, Problem, SandboxConfig};

const NOBODY: Privileges =
    Privileges { root: false, user_namespace: false, mounts: false, networks: false, namespaces: false };

#[test]
fn what_is_refused_says_why() {
    let root = Privileges { root: true, mounts: true, networks: true, namespaces: true, ..NOBODY };
    assert_eq!(root.refused(), []);
    let why = |privileges: Privileges| privileges.refusal(Ability::Containers).unwrap().why;
    let mapped = Privileges { root: true, user_namespace: true, namespaces: true, ..NOBODY };
    assert_ne!(why(NOBODY), why(mapped), "one lacks a capability, the other a namespace of its own");
    assert_eq!(mapped.refused().len(), 2);
}

/// Before anything is made, and with everything else that is wrong.
#[test]
fn a_configuration_that_takes_more_is_refused() {
    let host = HostFacts { memory: MiB(8192), privileges: NOBODY };
    let config = |agent_type, netns: Option<&str>| SandboxConfig {
        id: "web".into(),
        hypervisor_type: HypervisorKind::Mock,
        agent_type,
        network_config: NetworkConfig { netns_path: netns.map(PathBuf::from), ..NetworkConfig::default() },
        ..SandboxConfig::default()
    };
    let refused = |config: SandboxConfig| {
        let violations = config.validate(&host).map(drop).map_err(|error| error.violations().to_vec());
        let fields = violations.err().into_iter().flatten().filter_map(|violation| {
            let Problem::Unprivileged(refusal) = violation.problem else { return None };
            Some((violation.field, refusal.ability))
        });
        fields.collect::<Vec<_>>()
    };
    let containers = ("containers".to_owned(), Ability::Containers);
    assert_eq!(refused(config(AgentKind::Noop, None)), []);
    assert_eq!(refused(config(AgentKind::Kata, None)), std::slice::from_ref(&containers));
    let network = ("network_config".to_owned(), Ability::Networks);
    assert_eq!(refused(config(AgentKind::Kata, Some("/proc/self/ns/net"))), [containers, network]);
}
