//! Names and paths inside the guest on which host and agent agree (Kata's convention).

use std::path::{Path, PathBuf};

/// The tag of the shared directory: what the guest mounts as virtio-fs or 9p.
pub const SHARE_TAG: &str = "kataShared";

/// The directory below which the agent mounts what the host asks for, and into which files are copied.
pub const BASE: &str = "/run/kata-containers";

/// Where the agent mounts the shared directory.
pub const SHARED_CONTAINERS: &str = "/run/kata-containers/shared/containers";

/// The directory of one container in the shared directory.
///
/// The id becomes a path component as it is: take it from a validated `ContainerId`.
#[must_use]
pub fn container(id: &str) -> PathBuf {
    Path::new(SHARED_CONTAINERS).join(id)
}

/// The root directory of one container in the shared directory.
#[must_use]
pub fn rootfs(id: &str) -> PathBuf {
    container(id).join("rootfs")
}
