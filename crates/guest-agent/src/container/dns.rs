//! The sandbox's `/etc/resolv.conf` for containers whose specification mounts none of their own.
//!
//! Each gets a copy, to write to if its root can be written to. A root that cannot take the mount (none of the file and
//! no writing, or a symbolic link that leads nowhere) keeps what it has.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use crate::error::CallError;

/// Where a container looks.
const DESTINATION: &str = "/etc/resolv.conf";

/// Puts a copy of the sandbox's `lines` into the bundle and mounts it in the container.
///
/// # Errors
/// [`CallError::Io`].
pub(super) fn give(spec: &mut Spec, bundle: &Path, lines: &str) -> Result<(), CallError> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    let is_own = |mount: &Mount| {
        Path::new(DESTINATION).starts_with(mount.destination()) && mount.destination() != Path::new("/")
    };
    let Some(root) = spec.root().as_ref().filter(|_| !lines.is_empty()) else { return Ok(()) };
    let is_readonly = root.readonly().unwrap_or(false);
    if mounts.iter().any(is_own) || !takes_mount(root.path(), is_readonly) {
        return Ok(());
    }
    let copy = bundle.join("resolv.conf");
    fs::write(&copy, lines).map_err(CallError::io("write", &copy))?;
    let mut options = vec!["bind".to_owned()];
    options.extend(is_readonly.then(|| "ro".to_owned()));
    let mut mount = Mount::default();
    mount.set_destination(PathBuf::from(DESTINATION)).set_typ(Some("bind".to_owned()));
    mount.set_source(Some(copy)).set_options(Some(options));
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// Whether the file is there, or can be made; looked at as the container sees its root.
fn takes_mount(root: &Path, is_readonly: bool) -> bool {
    let Ok(root) = File::open(root) else { return false };
    let inside = DESTINATION.trim_start_matches('/');
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(&root, inside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    match found.and_then(rustix::fs::fstat) {
        Ok(found) => FileType::from_raw_mode(found.st_mode) == FileType::RegularFile,
        Err(rustix::io::Errno::NOENT) => {
            let is_link = rustix::fs::statat(&root, inside, AtFlags::SYMLINK_NOFOLLOW).is_ok();
            !is_readonly && !is_link
        }
        Err(_) => false,
    }
}
