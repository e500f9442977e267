//! The `.modinfo` section of a kernel module: NUL-separated `key=value` texts.

use crate::{elf, error::ModuleError};

/// Bytes of a module, unpacked. The largest of distributions (graphics drivers) have less than 20 MiB.
pub(crate) const MAX_MODULE: u64 = 64 << 20;
/// Dependencies that one module may name.
const MAX_DEPENDENCIES: usize = 256;

/// What a module says about itself. Names are canonical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModInfo {
    /// Modules whose symbols it uses: they must be loaded first.
    pub(crate) depends: Vec<String>,
    /// `softdep=pre:`: to be loaded first where there.
    pub(crate) soft_before: Vec<String>,
    /// `softdep=post:`: to be loaded after it where there.
    pub(crate) soft_after: Vec<String>,
    /// The release of the kernel it was built for (first word of `vermagic`).
    pub(crate) built_for: Option<String>,
}

impl ModInfo {
    /// Reads the section of an unpacked module.
    pub(crate) fn read(module: &[u8]) -> Result<Self, ModuleError> {
        let section = elf::section(module, ".modinfo")
            .map_err(|source| ModuleError::NotAModule(source.to_string()))?
            .ok_or_else(|| ModuleError::NotAModule("it has no .modinfo section".to_owned()))?;
        Self::parse(section)
    }

    /// Reads the content of the section. Unknown keys are skipped.
    pub(crate) fn parse(section: &[u8]) -> Result<Self, ModuleError> {
        let mut info = Self::default();
        for field in section.split(|&byte| byte == 0) {
            let Some((key, value)) = std::str::from_utf8(field).ok().and_then(|text| text.split_once('='))
            else {
                continue;
            };
            match key {
                "depends" => {
                    for name in value.split(',').filter(|name| !name.is_empty()) {
                        push(&mut info.depends, name)?;
                    }
                }
                "softdep" => info.soft(value)?,
                "vermagic" => info.built_for = value.split_whitespace().next().map(str::to_owned),
                _ => {}
            }
        }
        Ok(info)
    }

    /// One `softdep` value: `pre: a b post: c`.
    fn soft(&mut self, value: &str) -> Result<(), ModuleError> {
        let mut list = None;
        for word in value.split_whitespace() {
            match word {
                "pre:" => list = Some(&mut self.soft_before),
                "post:" => list = Some(&mut self.soft_after),
                name => {
                    // An alias, such as `pci:v*`, names no module; what is soft may be skipped.
                    if let Some(list) = list.as_deref_mut().filter(|_| canonical(name).is_some()) {
                        push(list, name)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn push(list: &mut Vec<String>, name: &str) -> Result<(), ModuleError> {
    let name = canonical(name).ok_or_else(|| ModuleError::InvalidName(name.chars().take(80).collect()))?;
    if list.len() == MAX_DEPENDENCIES {
        return Err(ModuleError::NotAModule(format!("it names more than {MAX_DEPENDENCIES} dependencies")));
    }
    list.push(name);
    Ok(())
}

/// The kernel takes `-` and `_` in a module's name for the same; this is the form with `_`. `None` for what is no name
/// (and so can be no path component).
pub(crate) fn canonical(name: &str) -> Option<String> {
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    valid.then(|| name.replace('-', "_"))
}

/// The canonical name of a module file, such as `kernel/fs/fuse/virtiofs.ko.xz`; `None` if it is no module file.
pub(crate) fn name_of_file(file_name: &str) -> Option<String> {
    let stem = ["", ".xz", ".gz", ".zst"]
        .iter()
        .find_map(|packed| file_name.strip_suffix(packed)?.strip_suffix(".ko"))?;
    canonical(stem)
}

#[cfg(test)]
mod tests;
