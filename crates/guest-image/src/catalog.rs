//! The modules of one kernel: where their files are, which are built in, and what they say about themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{
    decompress::{expand, read_bounded},
    error::{BuildError, ModuleError},
    modinfo::{MAX_MODULE, ModInfo, name_of_file},
};

/// Directory entries that a modules directory may have in all. Distributions have about 6,000.
const MAX_ENTRIES: usize = 200_000;
/// Bytes of `modules.builtin`.
const MAX_BUILTIN_LIST: u64 = 4 << 20;

/// A module, unpacked.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) bytes: Vec<u8>,
    pub(crate) info: ModInfo,
}

/// All modules of one kernel. Files are read when asked for, once.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Canonical name → file.
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
    loaded: BTreeMap<String, Module>,
}

impl Catalog {
    /// Looks through a modules directory (`/lib/modules/<release>` or anything built alike). Symbolic links are not followed.
    pub(crate) fn scan(dir: &Path) -> Result<Self, BuildError> {
        let mut catalog = Self::default();
        let mut pending = vec![dir.to_owned()];
        let mut seen = 0usize;
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(&dir).map_err(BuildError::io("list", &dir))? {
                let entry = entry.map_err(BuildError::io("list", &dir))?;
                let path = entry.path();
                seen += 1;
                if seen > MAX_ENTRIES {
                    let source = std::io::Error::other("it has more entries than any modules directory");
                    return Err(BuildError::Io { action: "list", path: dir, source });
                }
                let kind = entry.file_type().map_err(BuildError::io("examine", &path))?;
                if kind.is_dir() {
                    pending.push(path);
                } else if kind.is_file()
                    && let Some(name) = entry.file_name().to_str().and_then(name_of_file)
                {
                    catalog.add(name, path);
                }
            }
        }
        let list = dir.join("modules.builtin");
        if list.exists() {
            let text = File::open(&list).and_then(|file| read_bounded(file, MAX_BUILTIN_LIST));
            let text = text.map_err(BuildError::io("read", &list))?;
            let names = String::from_utf8_lossy(&text);
            let names = names.lines().filter_map(|line| name_of_file(line.rsplit('/').next()?.trim()));
            catalog.built_in = names.collect();
        }
        Ok(catalog)
    }

    /// Of two files of one name the one under `updates/` counts, as it does for depmod; else the first by path.
    fn add(&mut self, name: String, path: PathBuf) {
        let rank =
            |path: &Path| (!path.components().any(|part| part.as_os_str() == "updates"), path.to_owned());
        match self.files.get(&name) {
            Some(present) if rank(present) <= rank(&path) => {}
            Some(_) | None => {
                self.files.insert(name, path);
            }
        }
    }

    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// Reads the module `name` and all that it asks for, hard or soft, as far as there are files.
    /// False if there is no such module.
    pub(crate) fn load_with_dependencies(&mut self, name: &str, release: &str) -> Result<bool, BuildError> {
        let mut pending = vec![name.to_owned()];
        while let Some(name) = pending.pop() {
            let Some(path) = self.files.get(&name).filter(|_| !self.loaded.contains_key(&name)) else {
                continue;
            };
            let module = read(path, release)?;
            let info = &module.info;
            pending.extend(info.depends.iter().chain(&info.soft_before).chain(&info.soft_after).cloned());
            self.loaded.insert(name, module);
        }
        Ok(self.loaded.contains_key(name))
    }

    /// A module that has been loaded.
    pub(crate) fn get(&self, name: &str) -> Option<&Module> {
        self.loaded.get(name)
    }

    /// A catalog of modules without files, for tests of the order.
    #[cfg(test)]
    pub(crate) fn of(modules: &[(&str, ModInfo)], built_in: &[&str]) -> Self {
        let loaded = modules
            .iter()
            .map(|(name, info)| ((*name).to_owned(), Module { bytes: Vec::new(), info: info.clone() }));
        Self {
            files: BTreeMap::new(),
            built_in: built_in.iter().map(|name| (*name).to_owned()).collect(),
            loaded: loaded.collect(),
        }
    }
}

fn read(path: &Path, release: &str) -> Result<Module, BuildError> {
    let packed = File::open(path).and_then(|file| read_bounded(file, MAX_MODULE));
    let packed = packed.map_err(BuildError::io("read", path))?;
    let refuse = |source| BuildError::Module { path: path.to_owned(), source };
    let bytes = expand(packed, MAX_MODULE).map_err(|source| refuse(ModuleError::unpacking(source)))?;
    let info = ModInfo::read(&bytes).map_err(refuse)?;
    match &info.built_for {
        Some(built_for) if built_for != release => Err(refuse(ModuleError::OtherKernel {
            built_for: built_for.clone(),
            release: release.to_owned(),
        })),
        Some(_) | None => Ok(Module { bytes, info }),
    }
}
