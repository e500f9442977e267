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
    /// CNI networks.
    pub(crate) network: NetworkSettings,
}

/// Where this host's CNI networks and plugins are.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetworkSettings {
    /// Directory of the networks' descriptions.
    pub(crate) conf_dir: PathBuf,
    /// Directories of the plugins, the first match counts.
    pub(crate) plugin_dirs: Vec<PathBuf>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self { conf_dir: "/etc/cni/net.d".into(), plugin_dirs: usual_plugin_dirs() }
    }
}

/// Of the places that distributions put CNI plugins into, those that are here; all of them where none is.
fn usual_plugin_dirs() -> Vec<PathBuf> {
    let all = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"].map(PathBuf::from).to_vec();
    let here: Vec<_> = all.iter().filter(|dir| dir.is_dir()).cloned().collect();
    if here.is_empty() { all } else { here }
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
    if path.extension().is_some_and(|extension| extension == "json") {
        return read_json(path);
    }
    toml::from_str(&text(path)?).map_err(|error| wrong(path, &error))
}

/// Reads a file as JSON.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    serde_json::from_str(&text(path)?).map_err(|error| wrong(path, &error))
}

fn text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::ReadFile { path: path.to_owned(), source })
}

fn wrong(path: &Path, error: &impl std::fmt::Display) -> CliError {
    CliError::Configuration { path: path.to_owned(), message: error.to_string() }
}
