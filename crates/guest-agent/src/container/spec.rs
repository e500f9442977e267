//! What becomes of the specification that a host sends before `libcontainer` gets it.
//!
//! Paths in it are the guest's already. The network is the guest's own; labels of the host's security modules mean
//! nothing here; groups and their limits are the agent's to make. What nobody here can do is refused.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, LinuxResources, Process, Spec};
use virtcontainers_types::ContainerId;

use super::cgroup;
use crate::{agent::Agent, error::CallError, sys::namespace::Kind};

/// What a process finds programs with when nobody says.
pub(super) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Entries of one list of a specification.
const MAX_ENTRIES: usize = 4096;

/// Arguments and variables of a process, each.
const MAX_WORDS: usize = 32 * 1024;

/// The specification of container `id` as it is used in this guest. Its limits are taken out: they are set by
/// [`super::update`].
///
/// # Errors
/// [`CallError::Invalid`] for one without root, process or arguments, and for a root that is not there.
pub fn prepare(mut spec: Spec, id: &ContainerId) -> Result<(Spec, Option<LinuxResources>), CallError> {
    check_sizes(&spec)?;
    if !spec.version().starts_with("1.") {
        spec.set_version("1.0.2".to_owned());
    }
    let root = root_of(&spec)?;
    if !root.is_dir() {
        let reason = format!("`{}` is not a directory of the guest: is its storage mounted?", root.display());
        return Err(CallError::Invalid { field: "OCI.Root.Path", reason });
    }
    let mut process = spec.process().clone().ok_or_else(|| missing("OCI.Process"))?;
    complete_process(&mut process)?;
    spec.set_process(Some(process));
    let mut linux = spec.linux().clone().unwrap_or_default();
    if linux.intel_rdt().is_some() {
        return Err(CallError::NotBuilt("linux.intelRdt"));
    }
    if let Some(wanted) = linux.rootfs_propagation().clone() {
        linux.set_rootfs_propagation(Some(propagation(&wanted)?));
    }
    for device in linux.devices().iter().flatten() {
        if !is_plain(device.path()) || !device.path().starts_with("/dev") {
            let reason = format!("`{}` must be a plain path below /dev", device.path().display());
            return Err(CallError::Invalid { field: "OCI.Linux.Devices", reason });
        }
    }
    let resources = linux.resources().clone();
    linux.set_resources(None);
    linux.set_namespaces(Some(namespaces(linux.namespaces().as_deref().unwrap_or_default())));
    linux.set_cgroups_path(Some(PathBuf::from(cgroup::PARENT).join(id.as_str())));
    linux.set_mount_label(None);
    linux.set_net_devices(None);
    spec.set_linux(Some(linux));
    Ok((spec, resources))
}

/// The propagation of the root's mounts by the name that `libcontainer` knows; it is recursive in any case.
fn propagation(wanted: &str) -> Result<String, CallError> {
    const KNOWN: [&str; 4] = ["shared", "slave", "private", "unbindable"];
    let plain = wanted.strip_prefix('r').unwrap_or(wanted);
    if KNOWN.contains(&plain) {
        return Ok(plain.to_owned());
    }
    let wanted: String = wanted.chars().take(64).collect();
    let reason = format!("`{wanted}` is none of {}, with or without a leading `r`", KNOWN.join(", "));
    Err(CallError::Invalid { field: "OCI.Linux.RootfsPropagation", reason })
}

/// Bounds what the agent keeps and what the kernel is asked for.
fn check_sizes(spec: &Spec) -> Result<(), CallError> {
    let linux = spec.linux().clone().unwrap_or_default();
    let count = |list: Option<usize>| list.unwrap_or(0);
    for (what, entries) in [
        ("mounts of one container", count(spec.mounts().as_ref().map(Vec::len))),
        ("annotations of one container", count(spec.annotations().as_ref().map(|all| all.len()))),
        ("devices of one container", count(linux.devices().as_ref().map(Vec::len))),
        ("sysctls of one container", count(linux.sysctl().as_ref().map(|all| all.len()))),
        ("masked paths of one container", count(linux.masked_paths().as_ref().map(Vec::len))),
        ("read-only paths of one container", count(linux.readonly_paths().as_ref().map(Vec::len))),
        ("namespaces of one container", count(linux.namespaces().as_ref().map(Vec::len))),
    ] {
        if entries > MAX_ENTRIES {
            return Err(CallError::TooMany { what, limit: MAX_ENTRIES });
        }
    }
    Ok(())
}

/// Lets the container share what containers of one sandbox share: IPC and UTS namespaces that the specification has no
/// file for, and process ids if `shares_pids`. A container with a user namespace of its own may not enter those of
/// others, and one that asks for another hostname than the sandbox's gets a UTS namespace for it.
///
/// # Errors
/// [`CallError::NotBuilt`] for shared process ids with a user namespace, [`CallError::Io`].
pub async fn share(agent: &Agent, spec: &mut Spec, shares_pids: bool) -> Result<(), CallError> {
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    if namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        if shares_pids {
            return Err(CallError::NotBuilt("a shared pid namespace together with a user namespace"));
        }
        return Ok(());
    }
    let hostname = agent.sandbox().unwrap_or_default().hostname;
    let is_sandboxs = spec.hostname().as_ref().is_none_or(|name| *name == hostname);
    for namespace in &mut namespaces {
        let path = match namespace.typ() {
            _ if namespace.path().is_some() => continue,
            LinuxNamespaceType::Pid if shares_pids => agent.namespaces().process_ids().await?,
            LinuxNamespaceType::Ipc => agent.namespaces().shared(Kind::Ipc).await?,
            LinuxNamespaceType::Uts if is_sandboxs => agent.namespaces().shared(Kind::Uts).await?,
            LinuxNamespaceType::Uts
            | LinuxNamespaceType::Pid
            | LinuxNamespaceType::Mount
            | LinuxNamespaceType::User
            | LinuxNamespaceType::Network
            | LinuxNamespaceType::Cgroup
            | LinuxNamespaceType::Time => continue,
        };
        namespace.set_path(Some(path));
    }
    linux.set_namespaces(Some(namespaces));
    spec.set_linux(Some(linux));
    Ok(())
}

/// The root directory of a specification.
///
/// # Errors
/// [`CallError::Invalid`] unless it is an absolute path without `..`.
pub fn root_of(spec: &Spec) -> Result<PathBuf, CallError> {
    let root = spec.root().as_ref().ok_or_else(|| missing("OCI.Root"))?.path();
    if !is_plain(root) {
        let reason = format!("`{}` must be an absolute path without `..`", root.display());
        return Err(CallError::Invalid { field: "OCI.Root.Path", reason });
    }
    Ok(root.clone())
}

/// Whether a path is absolute and goes only down.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| match part {
            Component::RootDir | Component::Normal(_) => true,
            Component::Prefix(_) | Component::CurDir | Component::ParentDir => false,
        })
}

/// Gives a process what `libcontainer` insists on, and takes the host's labels away.
///
/// # Errors
/// [`CallError::Invalid`] for one without arguments or with a relative working directory.
pub fn complete_process(process: &mut Process) -> Result<(), CallError> {
    if process.args().as_ref().is_none_or(|args| args.first().is_none_or(String::is_empty)) {
        return Err(missing("Process.Args"));
    }
    if process.cwd().as_os_str().is_empty() {
        process.set_cwd(PathBuf::from("/"));
    }
    if !process.cwd().is_absolute() {
        let reason = format!("`{}` must be an absolute path", process.cwd().display());
        return Err(CallError::Invalid { field: "Process.Cwd", reason });
    }
    let mut env = process.env().clone().unwrap_or_default();
    for (what, words) in [
        ("arguments of a process", process.args().as_ref().map_or(0, Vec::len)),
        ("variables of a process", env.len()),
    ] {
        if words > MAX_WORDS {
            return Err(CallError::TooMany { what, limit: MAX_WORDS });
        }
    }
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.push(DEFAULT_PATH.to_owned());
    }
    process.set_env(Some(env));
    process.set_apparmor_profile(None);
    process.set_selinux_label(None);
    Ok(())
}

/// The guest's own network, and mount and pid namespaces whether asked for or not; files of pid and mount namespaces
/// would be the host's.
fn namespaces(asked: &[LinuxNamespace]) -> Vec<LinuxNamespace> {
    let replaced = [LinuxNamespaceType::Network, LinuxNamespaceType::Mount, LinuxNamespaceType::Pid];
    let mut namespaces: Vec<LinuxNamespace> =
        asked.iter().filter(|namespace| !replaced.contains(&namespace.typ())).cloned().collect();
    for needed in [LinuxNamespaceType::Mount, LinuxNamespaceType::Pid] {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(needed);
        namespaces.push(namespace);
    }
    namespaces
}

fn missing(field: &'static str) -> CallError {
    CallError::Invalid { field, reason: "it must be set".to_owned() }
}
