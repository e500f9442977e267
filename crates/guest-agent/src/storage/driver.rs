//! The kinds of storages, by the protocol's names.

use std::{io, os::unix::fs::PermissionsExt, path::Path, str::FromStr};

use rustix::mount::MountFlags;

use super::{Storage, StorageError, group, options, target};
use crate::sys;

/// How a storage's source is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A virtio-fs tag, or a 9p tag when the file system says so, as with Kata.
    VirtioFs,
    /// A 9p tag.
    NineP,
    /// A path of the guest.
    Bind,
    /// Nothing: memory of the guest.
    Ephemeral,
    /// Nothing: a directory of the guest, without a mount. It goes with its last user.
    Local,
    /// Layers: directories of the guest that the options name.
    Overlay,
}

impl Driver {
    const ALL: [(&'static str, Self); 7] = [
        ("virtio-fs", Self::VirtioFs),
        ("9p", Self::NineP),
        ("bind", Self::Bind),
        ("ephemeral", Self::Ephemeral),
        ("tmpfs", Self::Ephemeral),
        ("local", Self::Local),
        ("overlayfs", Self::Overlay),
    ];

    /// The names that a request may use.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// The same, one by one.
    pub fn each_name() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(name, _)| name)
    }

    /// The role of the modules (see [`crate::init::modules`]) that a file system of `kind` needs.
    #[must_use]
    pub fn module_role(self, kind: &str) -> Option<&'static str> {
        match (self.kind(kind), self) {
            ("9p", _) => Some("9p"),
            ("virtiofs", _) => Some("virtiofs"),
            ("overlay", _) => Some("overlay"),
            _ => None,
        }
    }

    /// Whether the files are the guest's own, and not the host's.
    #[must_use]
    pub fn is_guests(self) -> bool {
        match self {
            Self::VirtioFs | Self::NineP => false,
            Self::Bind | Self::Ephemeral | Self::Local | Self::Overlay => true,
        }
    }

    fn kind(self, asked: &str) -> &str {
        if !asked.is_empty() {
            return asked;
        }
        match self {
            Self::VirtioFs => "virtiofs",
            Self::NineP => "9p",
            Self::Bind => "bind",
            Self::Ephemeral => "tmpfs",
            Self::Local => "local",
            Self::Overlay => "overlay",
        }
    }
}

impl FromStr for Driver {
    type Err = StorageError;

    fn from_str(name: &str) -> Result<Self, StorageError> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == name);
        known.map(|(_, driver)| driver).ok_or_else(|| StorageError::Driver(name.chars().take(64).collect()))
    }
}

/// Makes the mount point, mounts, and gives the files to their group.
pub(super) fn mount(storage: &Storage) -> io::Result<()> {
    put(storage)?;
    let Some(group) = &storage.group else { return Ok(()) };
    let read_only = options::parse(&storage.options).flags.contains(MountFlags::RDONLY);
    let given = group::give(&storage.mount_point, group, read_only);
    if given.is_err() {
        // The failed call has nothing to give back.
        unmount(storage).ok();
    }
    given
}

fn put(storage: &Storage) -> io::Result<()> {
    let options = options::parse(&storage.options);
    match storage.driver {
        Driver::Bind => {
            let source = Path::new(&storage.source);
            let is_directory = source.metadata()?.is_dir();
            let target = target::make(&storage.mount_point, is_directory)?;
            sys::mount::bind(source, target.path(), options.recursive)?;
            // The descriptor still names what is below the new mount, so the flags go by the name.
            if options.flags.is_empty() {
                Ok(())
            } else {
                sys::mount::reflag(&storage.mount_point, options.flags)
            }
        }
        Driver::Local => {
            target::make(&storage.mount_point, true)?;
            match mode(&options.data)? {
                Some(mode) => std::fs::set_permissions(&storage.mount_point, mode),
                None => Ok(()),
            }
        }
        Driver::VirtioFs | Driver::NineP | Driver::Ephemeral | Driver::Overlay => {
            if storage.driver == Driver::Overlay {
                make_layers(&options.data)?;
            }
            let target = target::make(&storage.mount_point, true)?;
            let kind = storage.driver.kind(&storage.kind);
            let source = if storage.source.is_empty() { kind } else { &storage.source };
            let mut data = options.data;
            if kind == "9p" {
                complete_9p(&mut data);
            }
            sys::mount::mount(source, target.path(), kind, options.flags, &data.join(","))
        }
    }
}

/// Takes back what [`mount`] did.
pub(super) fn unmount(storage: &Storage) -> io::Result<()> {
    match storage.driver {
        Driver::Local => match std::fs::remove_dir_all(&storage.mount_point) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
        Driver::VirtioFs | Driver::NineP | Driver::Bind | Driver::Ephemeral | Driver::Overlay => {
            sys::mount::unmount(&storage.mount_point).map(drop)
        }
    }
}

/// Changes the options of what is mounted. Those that `options` are silent about stay as they are.
pub(super) fn remount(storage: &Storage, wanted: &[String]) -> io::Result<()> {
    let options = options::parse(wanted);
    sys::mount::remount(&storage.mount_point, options.flags, &options.data.join(","))
}

/// The permissions that the option `mode=` gives, as tmpfs(5) has it.
fn mode(options: &[String]) -> io::Result<Option<std::fs::Permissions>> {
    let Some(mode) = options.iter().find_map(|option| option.strip_prefix("mode=")) else { return Ok(None) };
    let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
    bits.map(|bits| Some(PermissionsExt::from_mode(bits))).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// The directories that an overlay writes to may not be there yet.
fn make_layers(options: &[String]) -> io::Result<()> {
    for name in ["upperdir=", "workdir="] {
        if let Some(path) = options.iter().find_map(|option| option.strip_prefix(name)) {
            let path = Path::new(path);
            target::check(path).map_err(io::Error::other)?;
            target::make(path, true)?;
        }
    }
    Ok(())
}

/// 9p's own defaults are for TCP and small messages.
fn complete_9p(data: &mut Vec<String>) {
    for (name, value) in [("trans", "virtio"), ("version", "9p2000.L")] {
        if !data.iter().any(|option| option.split('=').next() == Some(name)) {
            data.push(format!("{name}={value}"));
        }
    }
}
