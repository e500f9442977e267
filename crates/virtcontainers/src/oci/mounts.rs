//! Mounts of a container: the default ones, and the caller's turned into guest paths.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as OciMount, get_default_mounts};
use virtcontainers_types::{Bytes, ContainerId};

use super::{SharedVolume, guest_dir};
use crate::config::Mount;

/// Size of `/dev/shm` when none is asked for (the reference document's `DefaultShmSize`).
const DEFAULT_SHM_SIZE: Bytes = Bytes(64 << 20);

/// The whole list for a container that has no spec of its own.
pub(super) fn of_container(
    id: &ContainerId,
    asked: &[Mount],
    shm_size: Bytes,
) -> (Vec<OciMount>, Vec<SharedVolume>) {
    let mut mounts = get_default_mounts();
    for mount in mounts.iter_mut().filter(|mount| mount.destination() == Path::new("/dev/shm")) {
        let size = if shm_size.0 == 0 { DEFAULT_SHM_SIZE } else { shm_size };
        let options = ["nosuid", "noexec", "nodev", "mode=1777"].map(str::to_owned);
        mount.set_options(Some(options.into_iter().chain([format!("size={}", size.0)]).collect()));
    }
    let mut volumes = Vec::new();
    append(&mut mounts, &mut volumes, id, asked);
    (mounts, volumes)
}

/// Adds the caller's mounts in their order; one takes the place of an earlier one with the same destination.
pub(super) fn append(
    mounts: &mut Vec<OciMount>,
    volumes: &mut Vec<SharedVolume>,
    id: &ContainerId,
    asked: &[Mount],
) {
    for mount in asked {
        mounts.retain(|earlier| earlier.destination() != &mount.destination);
        let mut options = mount.options.clone();
        if mount.read_only && !options.iter().any(|option| option == "ro") {
            options.retain(|option| option != "rw");
            options.push("ro".to_owned());
        }
        let mut made = OciMount::default();
        if mount.is_bind() {
            made = bind(volumes, id, &mount.source, options);
        } else {
            let source = match mount.source.as_os_str().is_empty() {
                true => PathBuf::from(&mount.fs_type),
                false => mount.source.clone(),
            };
            made.set_typ(Some(mount.fs_type.clone())).set_source(Some(source)).set_options(Some(options));
        }
        made.set_destination(mount.destination.clone());
        mounts.push(made);
    }
}

/// A bind mount whose source is shared with the guest. Its destination is left to the caller.
pub(super) fn bind(
    volumes: &mut Vec<SharedVolume>,
    id: &ContainerId,
    source: &Path,
    mut options: Vec<String>,
) -> OciMount {
    let read_only = options.iter().any(|option| matches!(option.as_str(), "ro" | "rro"));
    if !options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind")) {
        options.insert(0, "rbind".to_owned());
    }
    let name = format!("vol-{}", volumes.len());
    let mut mount = OciMount::default();
    mount
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(guest_dir(id).join(&name)))
        .set_options(Some(options));
    volumes.push(SharedVolume { name, source: source.to_owned(), read_only });
    mount
}
