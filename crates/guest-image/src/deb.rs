//! Takes the kernel, its configuration and the modules that matter out of Debian packages, in one streaming pass as a rule.
//!
//! A package (deb(5)) is an `ar` archive of `debian-binary`, `control.tar*` and `data.tar*`. Debian makes `modules.dep` at installation,
//! so dependencies come from the modules themselves: the set of wanted modules grows while the package streams by, and only if a
//! dependency had already passed is there another pass.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Take},
    path::{Path, PathBuf},
};

use crate::{
    decompress::{Codec, expand, read_bounded},
    error::{BuildError, DebError, ModuleError},
    manifest::Package,
    modinfo::{MAX_MODULE, ModInfo, name_of_file},
    modules::roots,
    output::write_file,
    progress::{Counted, Progress, Stage},
};

/// Bytes of all files in a package.
const MAX_DATA: u64 = 8 << 30;
/// Bytes of the control archive and of files other than modules.
const MAX_FILE: u64 = 256 << 20;
/// Members of the outer archive.
const MAX_MEMBERS: usize = 64;
/// Bytes of a path in the package.
const MAX_PATH: u64 = 4096;
/// How often a package may have to be read again for dependencies that had passed.
const MAX_PASSES: usize = 16;

/// The kernel, within an unpacked directory.
pub(crate) const KERNEL: &str = "vmlinuz";
/// The kernel's configuration.
pub(crate) const CONFIG: &str = "config";
/// The modules directory.
pub(crate) const MODULES: &str = "modules";
/// The package that held the kernel, as JSON.
pub(crate) const PACKAGE: &str = "package.json";

/// Unpacks `debs` (the kernel image, and the packages of its modules where those are separate) into the existing
/// directory `into`.
pub(crate) fn unpack(debs: &[PathBuf], into: &Path, progress: &mut dyn Progress) -> Result<(), BuildError> {
    let modules = into.join(MODULES);
    std::fs::create_dir_all(&modules).map_err(BuildError::io("create", &modules))?;
    let sizes = debs.iter().map(|deb| deb.metadata().map_or(0, |metadata| metadata.len()));
    progress.begin(Stage::UnpackPackage, Some(sizes.sum()));
    let mut sieve = Sieve {
        into,
        wanted: roots().map(str::to_owned).collect(),
        kept: BTreeSet::new(),
        seen: BTreeSet::new(),
        has_kernel: false,
    };
    for _ in 0..MAX_PASSES {
        for deb in debs {
            sieve.pass(deb, progress)?;
        }
        if sieve.wanted.iter().all(|name| sieve.kept.contains(name) || !sieve.seen.contains(name)) {
            break;
        }
    }
    match (sieve.has_kernel, debs.first()) {
        (false, Some(deb)) => Err(refuse(deb)(DebError::NoKernel)),
        (true, _) | (false, None) => Ok(()),
    }
}

/// What is kept of the files that stream by.
struct Sieve<'a> {
    into: &'a Path,
    /// Modules to keep; grows with their dependencies.
    wanted: BTreeSet<String>,
    kept: BTreeSet<String>,
    /// All modules that there are.
    seen: BTreeSet<String>,
    has_kernel: bool,
}

impl Sieve<'_> {
    fn pass(&mut self, deb: &Path, progress: &mut dyn Progress) -> Result<(), BuildError> {
        let file = File::open(deb).map_err(BuildError::io("open", deb))?;
        let mut file = BufReader::new(file);
        let data = member(&mut file, "data.tar").map_err(refuse(deb))?;
        let had_kernel = self.has_kernel;
        let data = BufReader::with_capacity(1 << 16, Counted { reader: data, progress });
        each_file(data, |name, content| self.take(name, content)).map_err(|error| match error {
            Stop::Deb(source) => refuse(deb)(source),
            Stop::Build(error) => error,
        })?;
        if self.has_kernel && !had_kernel {
            let package = package(&mut file).map_err(refuse(deb))?;
            let text = serde_json::to_vec(&package).unwrap_or_default();
            write_file(&self.into.join(PACKAGE), &text)?;
        }
        Ok(())
    }

    /// Keeps one file of the package, or lets it pass.
    fn take(&mut self, name: &str, content: &mut dyn Read) -> Result<(), Stop> {
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let parts = parts.strip_prefix(&["usr"]).unwrap_or(&parts);
        match parts {
            ["boot", file] if file.starts_with("vmlinuz-") => {
                self.has_kernel = true;
                self.keep(KERNEL, name, content)
            }
            ["boot", file] if file.starts_with("config-") => self.keep(CONFIG, name, content),
            ["lib", "modules", _, "vmlinuz"] => {
                self.has_kernel = true;
                self.keep(KERNEL, name, content)
            }
            ["lib", "modules", _, "config"] => self.keep(CONFIG, name, content),
            ["lib", "modules", _, "modules.builtin"] => {
                self.keep(&format!("{MODULES}/modules.builtin"), name, content)
            }
            ["lib", "modules", _, .., file] => match name_of_file(file) {
                Some(module) => self.module(module, file, name, content),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn module(&mut self, module: String, file: &str, name: &str, content: &mut dyn Read) -> Result<(), Stop> {
        if self.wanted.contains(&module) && !self.kept.contains(&module) {
            let packed = read_file(name, content, MAX_MODULE)?;
            write_file(&self.into.join(MODULES).join(file), &packed)?;
            let unpacked = expand(packed, MAX_MODULE).map_err(ModuleError::unpacking);
            let info = unpacked.and_then(|bytes| ModInfo::read(&bytes)).map_err(DebError::Module)?;
            self.wanted.extend(info.depends.into_iter().chain(info.soft_before).chain(info.soft_after));
            self.kept.insert(module.clone());
        }
        self.seen.insert(module);
        Ok(())
    }

    fn keep(&self, as_file: &str, name: &str, content: &mut dyn Read) -> Result<(), Stop> {
        let bytes = read_file(name, content, MAX_FILE)?;
        Ok(write_file(&self.into.join(as_file), &bytes)?)
    }
}

/// Why a pass ended: the package is at fault, or writing.
enum Stop {
    Deb(DebError),
    Build(BuildError),
}

impl From<DebError> for Stop {
    fn from(error: DebError) -> Self {
        Self::Deb(error)
    }
}

impl From<BuildError> for Stop {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

fn refuse(deb: &Path) -> impl Fn(DebError) -> BuildError {
    move |source| BuildError::Deb { path: deb.to_owned(), source }
}

fn read_file(name: &str, content: &mut dyn Read, limit: u64) -> Result<Vec<u8>, DebError> {
    read_bounded(content, limit).map_err(|source| {
        if source.kind() == io::ErrorKind::FileTooLarge {
            DebError::TooLarge { name: name.to_owned(), limit }
        } else {
            DebError::Damaged(source)
        }
    })
}

/// Positions `file` on the data of the `ar` member whose name begins with `prefix`.
fn member<'a, R: Read + Seek>(file: &'a mut R, prefix: &'static str) -> Result<Take<&'a mut R>, DebError> {
    let mut magic = [0; 8];
    file.rewind().and_then(|()| file.read_exact(&mut magic)).map_err(DebError::Damaged)?;
    if &magic != b"!<arch>\n" {
        return Err(DebError::NotADeb);
    }
    for _ in 0..MAX_MEMBERS {
        // name 16, time 12, owner 6, group 6, mode 8, size 10 (all blank-padded text), end 2.
        let mut header = [0; 60];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            result => result.map_err(DebError::Damaged)?,
        }
        let size =
            std::str::from_utf8(&header[48..58]).ok().and_then(|text| text.trim_end().parse::<u32>().ok());
        let Some(size) = size.filter(|_| header.ends_with(b"`\n")) else {
            return Err(DebError::Damaged(io::Error::new(io::ErrorKind::InvalidData, "a bad ar header")));
        };
        if header.starts_with(prefix.as_bytes()) {
            return Ok(file.take(u64::from(size)));
        }
        let next = i64::from(size) + i64::from(size % 2);
        file.seek(SeekFrom::Current(next)).map_err(DebError::Damaged)?;
    }
    Err(DebError::NoMember(prefix))
}

/// Calls `visit` with the path and content of every regular file of a tar archive, packed or not.
fn each_file(
    mut archive: impl io::BufRead,
    mut visit: impl FnMut(&str, &mut dyn Read) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let codec = Codec::detect(archive.fill_buf().map_err(DebError::Damaged)?);
    let unpacked: Box<dyn Read + '_> = match codec {
        Some(codec) => codec.reader(archive).map_err(DebError::Damaged)?,
        None => Box::new(archive),
    };
    let mut archive = tar::Archive::new(unpacked.take(MAX_DATA));
    let mut long_name = None;
    // Raw entries: the crate would read long names of any size into memory.
    for entry in archive.entries().map_err(DebError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(DebError::Damaged)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let name = read_file("(a long file name)", &mut entry, MAX_PATH)?;
            long_name = Some(name);
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        if kind.is_file() {
            let name = String::from_utf8_lossy(&name);
            visit(name.trim_end_matches('\0'), &mut entry)?;
        }
    }
    Ok(())
}

/// Name and version of a package, from its control file.
fn package(file: &mut (impl Read + Seek)) -> Result<Option<Package>, DebError> {
    let control = io::BufReader::new(member(file, "control.tar")?);
    let mut package = None;
    let result = each_file(control, |name, content| {
        if name.trim_start_matches("./") == "control" {
            let text = read_file(name, content, MAX_FILE)?;
            let text = String::from_utf8_lossy(&text);
            package = field(&text, "Package")
                .zip(field(&text, "Version"))
                .map(|(name, version)| Package { name: name.to_owned(), version: version.to_owned() });
        }
        Ok(())
    });
    match result {
        Ok(()) | Err(Stop::Build(_)) => Ok(package),
        Err(Stop::Deb(error)) => Err(error),
    }
}

/// The value of a field in a control paragraph (deb822), first line only.
pub(crate) fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests;
