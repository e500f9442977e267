//! What becomes of the specification that a host sends before `libcontainer` gets it.
//!
//! Paths in it are the guest's already. The network is the guest's own; labels of the host's security modules mean
//! nothing here; groups are the agent's to choose.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Process, Spec};
use virtcontainers_types::ContainerId;

use super::cgroup;
use crate::error::CallError;

/// What a process finds programs with when nobody says.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The specification of container `id` as it is used in this guest.
///
/// # Errors
/// [`CallError::Invalid`] for one without root, process or arguments, and for a root that is not there.
pub fn prepare(mut spec: Spec, id: &ContainerId) -> Result<Spec, CallError> {
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
    linux.set_namespaces(Some(namespaces(linux.namespaces().as_deref().unwrap_or_default())));
    linux.set_cgroups_path(Some(PathBuf::from(cgroup::PARENT).join(id.as_str())));
    linux.set_mount_label(None);
    linux.set_net_devices(None);
    spec.set_linux(Some(linux));
    Ok(spec)
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
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.push(DEFAULT_PATH.to_owned());
    }
    process.set_env(Some(env));
    process.set_apparmor_profile(None);
    process.set_selinux_label(None);
    Ok(())
}

/// The guest's own network, and mount and pid namespaces whether asked for or not.
fn namespaces(asked: &[LinuxNamespace]) -> Vec<LinuxNamespace> {
    let mut namespaces: Vec<LinuxNamespace> =
        asked.iter().filter(|namespace| namespace.typ() != LinuxNamespaceType::Network).cloned().collect();
    for needed in [LinuxNamespaceType::Mount, LinuxNamespaceType::Pid] {
        if !namespaces.iter().any(|namespace| namespace.typ() == needed) {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(needed);
            namespaces.push(namespace);
        }
    }
    namespaces
}

fn missing(field: &'static str) -> CallError {
    CallError::Invalid { field, reason: "it must be set".to_owned() }
}
