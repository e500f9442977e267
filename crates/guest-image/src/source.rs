//! Where kernels come from, and how each source boils down to the same thing: a kernel file and a modules directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha512};

use crate::{
    catalog::Catalog,
    deb, debian,
    decompress::read_bounded,
    error::{BuildError, KernelError},
    kconfig::KernelConfig,
    manifest::{Package, hex},
    modules::roots,
    progress::Progress,
    vmlinux::MAX_KERNEL,
};

/// Bytes of a kernel's configuration.
const MAX_CONFIG: u64 = 4 << 20;

/// Where the kernel and its modules come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// A kernel package in Debian's archive, or a package that points to one, fetched with apt. It need not be installed.
    DebianPackage {
        /// For example `linux-image-amd64` (everything) or `linux-image-cloud-amd64` (boots faster, has no 9p).
        name: String,
    },
    /// A kernel package in a file.
    Deb {
        /// The `.deb` file.
        path: PathBuf,
    },
    /// A kernel of any distribution.
    Paths {
        /// A bzImage (`/boot/vmlinuz-*`) or an ELF vmlinux.
        kernel: PathBuf,
        /// Its modules (`/lib/modules/<release>`), packed or not; none for a kernel with all drivers built in.
        /// What is built in is read from `modules.builtin` there, and from the kernel's configuration: `config` in the same directory,
        /// or beside the kernel as `<kernel>.config`, or as `config-*` for a kernel that is called `vmlinuz-*`.
        modules_dir: Option<PathBuf>,
    },
}

impl Default for KernelSource {
    fn default() -> Self {
        Self::DebianPackage { name: "linux-image-amd64".to_owned() }
    }
}

/// What a source gives.
#[derive(Debug)]
pub(crate) struct KernelTree {
    pub(crate) kernel: PathBuf,
    config: Option<PathBuf>,
    modules: Option<PathBuf>,
    pub(crate) package: Option<Package>,
}

impl KernelTree {
    /// Fetches and unpacks what `source` names; `cache` keeps both for the next time.
    pub(crate) fn obtain(
        source: &KernelSource,
        cache: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Self, BuildError> {
        match source {
            KernelSource::DebianPackage { name } => {
                let debs = debian::fetch(name, cache, progress)?;
                Self::unpacked(&debs, cache, progress)
            }
            KernelSource::Deb { path } => Self::unpacked(std::slice::from_ref(path), cache, progress),
            KernelSource::Paths { kernel, modules_dir } => Ok(Self {
                kernel: kernel.clone(),
                config: config_of(kernel, modules_dir.as_deref()),
                modules: modules_dir.clone(),
                package: None,
            }),
        }
    }

    /// Unpacks packages, once per content, version of this library and choice of modules.
    fn unpacked(debs: &[PathBuf], cache: &Path, progress: &mut dyn Progress) -> Result<Self, BuildError> {
        let mut digest = Sha512::new();
        for deb in debs {
            let mut file = File::open(deb).map_err(BuildError::io("open", deb))?;
            io::copy(&mut file, &mut digest).map_err(BuildError::io("read", deb))?;
        }
        for root in roots() {
            digest.update(root);
        }
        let key = hex(&digest.finalize()[..12]);
        let dir = cache.join(format!("unpacked-{}-{key}", env!("CARGO_PKG_VERSION")));
        if !dir.is_dir() {
            fs::create_dir_all(cache).map_err(BuildError::io("create", cache))?;
            let room = tempfile::Builder::new().prefix(".unpack-").tempdir_in(cache);
            let room = room.map_err(BuildError::io("create a directory in", cache))?;
            deb::unpack(debs, room.path(), progress)?;
            match fs::rename(room.path(), &dir) {
                Ok(()) => drop(room.keep()),
                // Another build was faster; what it unpacked is the same.
                Err(_) if dir.is_dir() => {}
                Err(source) => return Err(BuildError::Io { action: "create", path: dir, source }),
            }
        }
        let package = fs::read(dir.join(deb::PACKAGE)).ok();
        Ok(Self {
            kernel: dir.join(deb::KERNEL),
            config: Some(dir.join(deb::CONFIG)).filter(|path| path.is_file()),
            modules: Some(dir.join(deb::MODULES)),
            package: package.and_then(|text| serde_json::from_slice(&text).ok().flatten()),
        })
    }

    /// The kernel file's bytes.
    pub(crate) fn read_kernel(&self) -> Result<Vec<u8>, BuildError> {
        let bytes = File::open(&self.kernel).and_then(|file| read_bounded(file, MAX_KERNEL));
        bytes.map_err(|source| {
            let path = self.kernel.clone();
            if source.kind() == io::ErrorKind::FileTooLarge {
                BuildError::Kernel { path, source: KernelError::TooLarge { limit: MAX_KERNEL } }
            } else {
                BuildError::Io { action: "read", path, source }
            }
        })
    }

    /// The kernel's configuration, where there is one.
    pub(crate) fn read_config(&self) -> Result<Option<KernelConfig>, BuildError> {
        let Some(path) = &self.config else { return Ok(None) };
        let bytes = File::open(path).and_then(|file| read_bounded(file, MAX_CONFIG));
        let bytes = bytes.map_err(BuildError::io("read", path))?;
        Ok(Some(KernelConfig::parse(&String::from_utf8_lossy(&bytes))))
    }

    /// The kernel's modules.
    pub(crate) fn catalog(&self) -> Result<Catalog, BuildError> {
        self.modules.as_deref().map_or_else(|| Ok(Catalog::default()), Catalog::scan)
    }
}

/// Looks for the configuration in the places named at [`KernelSource::Paths`].
fn config_of(kernel: &Path, modules: Option<&Path>) -> Option<PathBuf> {
    let name = kernel.file_name()?.to_str()?;
    let candidates = [
        modules.map(|dir| dir.join("config")),
        Some(kernel.with_file_name(format!("{name}.config"))),
        ["vmlinuz-", "vmlinux-", "bzImage-"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .map(|release| kernel.with_file_name(format!("config-{release}"))),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file())
}
