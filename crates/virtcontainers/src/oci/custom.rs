//! A caller's own spec, turned from host paths to guest paths. What speaks of the host is taken out.

use oci_spec::runtime::{LinuxNamespaceType, Mount as OciMount, Root, Spec};

use super::{GuestContainer, SandboxTraits, guest_dir, mounts};
use crate::config::ContainerPlan;

pub(super) fn guest_container(
    plan: &ContainerPlan,
    custom: &Spec,
    sandbox: SandboxTraits<'_>,
) -> GuestContainer {
    let config = plan.config();
    let mut spec = custom.clone();
    let read_only = spec.root().as_ref().and_then(Root::readonly).unwrap_or(false) || config.readonly_rootfs;
    let mut root = Root::default();
    root.set_path(guest_dir(plan.id()).join("rootfs")).set_readonly(Some(read_only));

    let mut volumes = Vec::new();
    let given = spec.mounts().clone().unwrap_or_default();
    let mut turned: Vec<OciMount> = Vec::with_capacity(given.len());
    for mount in given {
        turned.push(if is_bind(&mount) {
            let source = mount.source().clone().unwrap_or_default();
            let options = mount.options().clone().unwrap_or_default();
            let mut bound = mounts::bind(&mut volumes, plan.id(), &source, options);
            bound.set_destination(mount.destination().clone());
            bound
        } else {
            mount
        });
    }
    mounts::append(&mut turned, &mut volumes, plan.id(), &config.mounts);

    spec.set_root(Some(root)).set_mounts(Some(turned)).set_windows(None).set_solaris(None).set_vm(None);
    if spec.hostname().is_none() {
        spec.set_hostname(Some(sandbox.hostname.to_owned()));
    }
    if let Some(linux) = spec.linux_mut() {
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        namespaces.retain(|namespace| {
            // The network is the sandbox's, the pids are arranged by the agent, and host cgroups mean nothing there.
            !matches!(
                namespace.typ(),
                LinuxNamespaceType::Network | LinuxNamespaceType::Pid | LinuxNamespaceType::Cgroup
            )
        });
        for namespace in &mut namespaces {
            namespace.set_path(None);
        }
        linux.set_namespaces(Some(namespaces)).set_cgroups_path(None);
        if sandbox.disable_seccomp {
            linux.set_seccomp(None);
        }
    }
    GuestContainer { spec, volumes }
}

fn is_bind(mount: &OciMount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || mount.options().iter().flatten().any(|option| matches!(option.as_str(), "bind" | "rbind"))
}
