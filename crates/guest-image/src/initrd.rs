//! The initrd: what is in it, and the list by which the agent loads modules.
//!
//! | path | content |
//! |---|---|
//! | `/init` | the agent, 0755 |
//! | `/bin/sh` | the shell of the debug console, 0755, if one was given |
//! | `/dev`, `/etc`, `/proc`, `/run`, `/sys`, `/tmp` | empty directories |
//! | `/dev/console` | character device 5:1, so that PID 1 has its standard streams |
//! | `/lib/modules/<release>/<name>.ko` | modules, unpacked, signatures untouched |
//! | `/etc/vc-modules` | the list |
//!
//! # `/etc/vc-modules`
//! One module a line: the role ([`Role::as_str`]), one space, the module's absolute path. Roles come in the order of [`Role::ALL`]. Each role
//! lists its whole closure in loading order, dependencies first, so that any role can be loaded alone; a path may therefore come
//! again under another role, and the reader skips what it has loaded. A role without lines is built in, or absent: the manifest tells
//! which. Readers skip empty lines and lines that begin with `#`.
//!
//! ```text
//! virtio /lib/modules/6.1.0-56-amd64/virtio.ko
//! virtio /lib/modules/6.1.0-56-amd64/virtio_ring.ko
//! ```

use std::{collections::BTreeMap, fmt::Write as _, io};

use crate::{catalog::Catalog, cpio::Archive, manifest::Ability, modules::Role};

/// Where the list of modules is in the initrd.
pub const MODULE_LIST: &str = "/etc/vc-modules";

/// Where a module is in the initrd.
#[must_use]
pub fn module_path(release: &str, module: &str) -> String {
    format!("/lib/modules/{release}/{module}.ko")
}

/// The text of [`MODULE_LIST`].
pub(crate) fn module_list(release: &str, abilities: &BTreeMap<Role, Ability>) -> String {
    let mut list = String::new();
    for (role, ability) in abilities {
        for module in ability.modules() {
            writeln!(list, "{role} {}", module_path(release, module)).unwrap_or_default();
        }
    }
    list
}

/// Packs the initrd.
pub(crate) fn pack(
    agent: &[u8],
    shell: Option<&[u8]>,
    release: &str,
    abilities: &BTreeMap<Role, Ability>,
    catalog: &Catalog,
) -> io::Result<Vec<u8>> {
    let list = module_list(release, abilities);
    let mut archive = Archive::default();
    for path in ["dev", "etc", "proc", "run", "sys"] {
        archive.directory(path, 0o755);
    }
    archive.directory("tmp", 0o1777);
    archive.char_device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, agent);
    if let Some(shell) = shell {
        archive.directory("bin", 0o755);
        archive.file("bin/sh", 0o755, shell);
    }
    archive.file(MODULE_LIST.trim_start_matches('/'), 0o644, list.as_bytes());
    for name in abilities.values().flat_map(Ability::modules) {
        if let Some(module) = catalog.get(name) {
            archive.file(module_path(release, name).trim_start_matches('/'), 0o644, &module.bytes);
        }
    }
    let mut packed = Vec::new();
    archive.write(&mut packed)?;
    Ok(packed)
}
