//! The kinds of storages, by the protocol's names.

use std::{io, path::Path, str::FromStr};

use super::{Storage, StorageError, options, target};
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
}

impl Driver {
    const ALL: [(&'static str, Self); 5] = [
        ("virtio-fs", Self::VirtioFs),
        ("9p", Self::NineP),
        ("bind", Self::Bind),
        ("ephemeral", Self::Ephemeral),
        ("tmpfs", Self::Ephemeral),
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
            _ => None,
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

/// Makes the mount point and mounts.
pub(super) fn mount(storage: &Storage) -> io::Result<()> {
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
        Driver::VirtioFs | Driver::NineP | Driver::Ephemeral => {
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

/// 9p's own defaults are for TCP and small messages.
fn complete_9p(data: &mut Vec<String>) {
    for (name, value) in [("trans", "virtio"), ("version", "9p2000.L")] {
        if !data.iter().any(|option| option.split('=').next() == Some(name)) {
            data.push(format!("{name}={value}"));
        }
    }
}
