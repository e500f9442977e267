//! `manifest.json`: what an image was made from and what it can do.
//!
//! It holds no time and no path of the building machine, so that the same inputs give the same manifest.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use crate::modules::Role;

/// The schema that this version writes and reads.
pub const SCHEMA: u32 = 1;

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Version of this format.
    pub schema: u32,
    /// The program that made the image.
    pub builder: String,
    /// Machine architecture, as `uname -m` says it.
    pub architecture: String,
    /// The kernel.
    pub kernel: Kernel,
    /// What the kernel can do, by role.
    pub abilities: BTreeMap<Role, Ability>,
    /// The modules in the initrd, by name.
    pub modules: Vec<ModuleRecord>,
    /// What the image was made from: `kernel`, `agent`, and `shell` if it has one.
    pub inputs: BTreeMap<String, FileRecord>,
    /// The image's files, by file name: `vmlinux`, `initrd.img`.
    pub outputs: BTreeMap<String, FileRecord>,
}

/// Which kernel an image boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// The distribution's package, where it came from one.
    pub package: Option<Package>,
}

/// A package of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
}

/// Whether, and how, a kernel has what a role takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Ability {
    /// It is built into the kernel.
    BuiltIn,
    /// These modules bring it, in loading order.
    Modules {
        /// Names, dependencies first.
        modules: Vec<String>,
    },
    /// The kernel does not have it.
    Absent {
        /// What is missing.
        lacks: Vec<String>,
    },
}

impl Ability {
    /// Whether a guest can do it.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        match self {
            Self::BuiltIn | Self::Modules { .. } => true,
            Self::Absent { .. } => false,
        }
    }

    /// The modules that bring it, in loading order.
    #[must_use]
    pub fn modules(&self) -> &[String] {
        match self {
            Self::Modules { modules } => modules,
            Self::BuiltIn | Self::Absent { .. } => &[],
        }
    }
}

/// A module in the initrd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleRecord {
    /// Canonical name.
    pub name: String,
    /// The unpacked module.
    #[serde(flatten)]
    pub file: FileRecord,
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Bytes.
    pub size: u64,
    /// SHA-512, in lower-case hexadecimal digits.
    pub sha512: String,
}

impl FileRecord {
    /// The record of a file of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, sha512: hex(&Sha512::digest(bytes)) }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
