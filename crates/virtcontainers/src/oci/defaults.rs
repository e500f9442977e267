//! The spec of a container that is described by fields: the isolation that container engines give by default.

use oci_spec::runtime::{
    Linux, LinuxDeviceCgroup, LinuxDeviceType, LinuxNamespace, LinuxNamespaceType, LinuxResources, Root,
    Spec, get_default_maskedpaths, get_default_readonly_paths,
};

use super::{GuestContainer, SandboxTraits, guest_dir, mounts, process};
use crate::config::{ConfigError, ContainerPlan};

/// Private to each container, its view of its own limits included. Not the network, which is the sandbox's; not the pids, which the agent arranges, for
/// whether they are shared is a property of the sandbox.
const NAMESPACES: [LinuxNamespaceType; 4] =
    [LinuxNamespaceType::Mount, LinuxNamespaceType::Uts, LinuxNamespaceType::Ipc, LinuxNamespaceType::Cgroup];

pub(super) fn guest_container(
    plan: &ContainerPlan,
    sandbox: SandboxTraits<'_>,
) -> Result<GuestContainer, ConfigError> {
    let config = plan.config();
    let mut root = Root::default();
    root.set_path(guest_dir(plan.id()).join("rootfs")).set_readonly(Some(config.readonly_rootfs));
    let (mounts, volumes) = mounts::of_container(plan.id(), &config.mounts, sandbox.shm_size);

    let mut spec = Spec::default();
    spec.set_version("1.1.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts))
        .set_process(Some(process::first_process(plan.rootfs(), &config.cmd)?))
        .set_hostname(Some(sandbox.hostname.to_owned()))
        .set_annotations(
            (!config.annotations.is_empty()).then(|| config.annotations.clone().into_iter().collect()),
        )
        .set_linux(Some(linux(config.resources.as_ref())));
    Ok(GuestContainer { spec, volumes })
}

fn linux(resources: Option<&LinuxResources>) -> Linux {
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(NAMESPACES.into_iter().map(namespace).collect()))
        .set_masked_paths(Some(get_default_maskedpaths()))
        .set_readonly_paths(Some(get_default_readonly_paths()))
        .set_devices(None)
        .set_cgroups_path(None)
        .set_resources(Some(with_device_rules(resources)));
    linux
}

/// The resources asked for; without device rules among them, those of an ordinary container: only the devices that
/// every container has.
fn with_device_rules(resources: Option<&LinuxResources>) -> LinuxResources {
    let mut resources = resources.cloned().unwrap_or_default();
    if resources.devices().as_ref().is_none_or(Vec::is_empty) {
        resources.set_devices(Some(device_rules()));
    }
    resources
}

/// Numbers of `Documentation/admin-guide/devices.txt` of Linux.
fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow)
            .set_typ(Some(if major.is_some() { LinuxDeviceType::C } else { LinuxDeviceType::A }))
            .set_major(major)
            .set_minor(minor)
            .set_access(Some(access.to_owned()));
        rule
    };
    // null, zero, full, random, urandom, tty, console, ptmx and the terminals behind it.
    let devices = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    let mut rules = vec![rule(false, None, None, "rwm")];
    rules.extend(devices.map(|(major, minor)| rule(true, Some(major), Some(minor), "rwm")));
    rules.push(rule(true, Some(136), None, "rwm"));
    rules
}
