//! A guest image on disk, and where to look for one.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha512};

use crate::{
    error::OpenError,
    manifest::{Manifest, SCHEMA, hex},
    modules::Role,
};

/// The kernel's file name in an image.
pub(crate) const KERNEL: &str = "vmlinux";
/// The initrd's.
pub(crate) const INITRD: &str = "initrd.img";
/// The manifest's.
pub(crate) const MANIFEST: &str = "manifest.json";

/// A directory with a kernel, an initrd and their manifest.
#[derive(Debug, Clone)]
pub struct GuestImage {
    dir: PathBuf,
    manifest: Manifest,
}

impl GuestImage {
    /// Opens the image in `dir` and compares its files' sizes with the manifest; [`Self::verify`] compares digests.
    ///
    /// # Errors
    /// [`OpenError`]; all but `NotFound`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, OpenError> {
        #[derive(serde::Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let dir = dir.into();
        let path = dir.join(MANIFEST);
        let text = fs::read(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let wrong = |source| OpenError::Manifest { path: path.clone(), source };
        let Versioned { schema } = serde_json::from_slice(&text).map_err(wrong)?;
        if schema != SCHEMA {
            return Err(OpenError::Schema { path, found: schema, expected: SCHEMA });
        }
        let manifest = serde_json::from_slice(&text).map_err(wrong)?;
        let image = Self { dir, manifest };
        for name in [KERNEL, INITRD] {
            let path = image.dir.join(name);
            let actual =
                fs::metadata(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?.len();
            let expected = image.manifest.outputs.get(name).map_or(0, |record| record.size);
            if actual != expected {
                return Err(OpenError::Size { path, expected, actual });
            }
        }
        Ok(image)
    }

    /// Opens the first image in [`default_locations`].
    ///
    /// # Errors
    /// [`OpenError::NotFound`], or why the first one found does not open.
    pub fn find() -> Result<Self, OpenError> {
        let searched = default_locations();
        match searched.iter().find(|dir| dir.join(MANIFEST).exists()) {
            Some(dir) => Self::open(dir),
            None => Err(OpenError::NotFound { searched }),
        }
    }

    /// Compares every file's SHA-512 with the manifest.
    ///
    /// # Errors
    /// [`OpenError::Digest`], [`OpenError::Io`].
    pub fn verify(&self) -> Result<(), OpenError> {
        for (name, record) in &self.manifest.outputs {
            // Only file names: a manifest must not lead elsewhere.
            let path = self.dir.join(Path::new(name).file_name().unwrap_or_default());
            let failed = |source| OpenError::Io { path: path.clone(), source };
            let mut digest = Sha512::new();
            io::copy(&mut File::open(&path).map_err(failed)?, &mut digest).map_err(failed)?;
            if hex(&digest.finalize()) != record.sha512 {
                return Err(OpenError::Digest { path });
            }
        }
        Ok(())
    }

    /// The image's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kernel: an uncompressed ELF with a PVH entry point.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }

    /// The initrd: an uncompressed cpio.
    #[must_use]
    pub fn initrd(&self) -> PathBuf {
        self.dir.join(INITRD)
    }

    /// What the image was made from and what it can do.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether guests of this image can do `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.manifest.abilities.get(&role).is_some_and(|ability| ability.is_present())
    }
}

/// Where an image is looked for, in this order: `$VIRTC_GUEST_DIR` (alone, if set); `/var/lib/virtcontainers/guest` for root,
/// `$XDG_DATA_HOME/virtcontainers/guest` (by default under `~/.local/share`) for others; `/usr/share/virtcontainers/guest`.
/// The first is where a new image belongs.
#[must_use]
pub fn default_locations() -> Vec<PathBuf> {
    locations(|name| env::var_os(name), rustix::process::geteuid().is_root())
}

/// [`default_locations`] of a given environment and user.
fn locations(variable: impl Fn(&str) -> Option<OsString>, is_root: bool) -> Vec<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(dir) = variable("VIRTC_GUEST_DIR").filter(|dir| !dir.is_empty()) {
        return vec![dir.into()];
    }
    let own = if is_root {
        Some(PathBuf::from("/var/lib"))
    } else {
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
    };
    let system = PathBuf::from("/usr/share");
    own.into_iter().chain([system]).map(|dir| dir.join("virtcontainers/guest")).collect()
}

#[cfg(test)]
mod tests;
