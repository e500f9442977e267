//! The kernel modules that the initrd carries, by what they are needed for.
//!
//! `/etc/vc-modules` has a line `<role> <path>` for each, dependencies first within a role. A role without lines is
//! built into the kernel, or absent from it, which shows when it is used.

use std::{
    collections::HashSet,
    ffi::CString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::cmdline::Cmdline;

/// The list in the initrd.
pub const LIST: &str = "/etc/vc-modules";

/// Where the kernel shows modules that are loaded, and most of those built in.
const PRESENT: &str = "/sys/module";

/// A module could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The list cannot be read.
    #[error("could not read {LIST}: {0}: build the guest image anew")]
    List(#[source] io::Error),
    /// The kernel refused a module.
    #[error("could not load kernel module {} for {role}: {source}", path.display())]
    Load {
        /// What it is needed for.
        role: String,
        /// The module.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The initrd has no such module, and the kernel has none built in.
    #[error(
        "kernel module `{0}` is not in the guest image, and not built into its kernel: use an image that has it"
    )]
    Unknown(String),
}

impl ModuleError {
    /// The status code of an answer that fails for it.
    #[must_use]
    pub fn code(&self) -> ttrpc::Code {
        match self {
            Self::Unknown(_) => ttrpc::Code::INVALID_ARGUMENT,
            Self::List(_) | Self::Load { .. } => ttrpc::Code::INTERNAL,
        }
    }
}

/// A module and its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// What it is needed for.
    pub role: String,
    /// Its file.
    pub path: PathBuf,
    /// Parameters from the kernel's command line.
    pub parameters: String,
}

/// The initrd's modules.
#[derive(Debug)]
pub struct Modules {
    list: Vec<Module>,
    loaded: Mutex<HashSet<PathBuf>>,
}

impl Modules {
    /// Reads [`LIST`]. An initrd without one has a kernel that needs none.
    ///
    /// # Errors
    /// [`ModuleError::List`].
    pub fn read(cmdline: &Cmdline) -> Result<Self, ModuleError> {
        match fs::read_to_string(LIST) {
            Ok(text) => Ok(Self::new(&text, cmdline)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::new("", cmdline)),
            Err(error) => Err(ModuleError::List(error)),
        }
    }

    /// The modules that `list` names.
    #[must_use]
    pub fn new(list: &str, cmdline: &Cmdline) -> Self {
        let list = list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
        let list = list.map(|(role, path)| {
            let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Module { role: role.to_owned(), path: path.into(), parameters: cmdline.of_module(&stem) }
        });
        Self { list: list.collect(), loaded: Mutex::default() }
    }

    /// The modules of `role`, in their order.
    pub fn of(&self, role: &str) -> impl Iterator<Item = &Module> {
        self.list.iter().filter(move |module| module.role == role)
    }

    /// Loads what `role` needs and is not loaded yet.
    ///
    /// # Errors
    /// [`ModuleError::Load`].
    pub fn load(&self, role: &str) -> Result<(), ModuleError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        for module in self.of(role) {
            if !loaded.contains(&module.path) {
                load(module)?;
                loaded.insert(module.path.clone());
            }
        }
        Ok(())
    }

    /// Whether nothing is left to load of what `role` needs.
    #[must_use]
    pub fn has_loaded(&self, role: &str) -> bool {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.of(role).all(|module| loaded.contains(&module.path))
    }

    /// Loads the one module `name` with `parameters` besides the command line's, and what it depends on before: that
    /// stands before it in the list of its role. One that is loaded or built in already is as good.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn probe(&self, name: &str, parameters: &str) -> Result<(), ModuleError> {
        let is_named = |module: &&Module| {
            let stem = module.path.file_stem().unwrap_or_default().to_string_lossy();
            stem.replace('-', "_") == name.replace('-', "_")
        };
        let Some(wanted) = self.list.iter().find(is_named) else {
            let present = Path::new(PRESENT).join(name.replace('-', "_")).is_dir();
            return if present { Ok(()) } else { Err(ModuleError::Unknown(name.to_owned())) };
        };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        for module in self.of(&wanted.role).take_while(|module| module.path != wanted.path).chain([wanted]) {
            if loaded.contains(&module.path) {
                continue;
            }
            let mut module = module.clone();
            if module.path == wanted.path && !parameters.is_empty() {
                module.parameters = format!("{} {parameters}", module.parameters).trim_start().to_owned();
            }
            load(&module)?;
            loaded.insert(module.path);
        }
        Ok(())
    }
}

fn load(module: &Module) -> Result<(), ModuleError> {
    let load = || -> io::Result<()> {
        let parameters = CString::new(module.parameters.as_str())?;
        let file = File::open(&module.path)?;
        match rustix::system::finit_module(&file, &parameters, 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    load().map_err(|source| ModuleError::Load {
        role: module.role.clone(),
        path: module.path.clone(),
        source,
    })
}
