//! Settings of a host, read from a TOML file: what the command line does not say comes from here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};
use virtcontainers::{HypervisorConfig, KataAgentConfig};

use crate::error::CliError;

/// Where the file is looked for when none is named.
const DEFAULT_FILE: &str = "/etc/virtcontainers/config.toml";

/// The file's content. Unknown keys are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HostConfig {
    /// Directory of the sandboxes' state.
    pub(crate) root: Option<PathBuf>,
    /// Directory of the guest image.
    pub(crate) guest: Option<PathBuf>,
    /// Root filesystem of `virtc run` without `--rootfs`.
    pub(crate) rootfs: Option<PathBuf>,
    /// The virtual machine: the fields of the library's `HypervisorConfig`.
    pub(crate) hypervisor: HypervisorConfig,
    /// The agent: the fields of the library's `KataAgentConfig`.
    pub(crate) agent: KataAgentConfig,
}

impl HostConfig {
    /// Reads the named file, or the default one where it exists.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, CliError> {
        match named {
            Some(path) => read(path),
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE)),
            None => Ok(Self::default()),
        }
    }
}

/// Reads a file as TOML, or as JSON when its name ends so.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| CliError::ReadFile { path: path.to_owned(), source })?;
    let wrong = |message: String| CliError::Configuration { path: path.to_owned(), message };
    if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    } else {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}
