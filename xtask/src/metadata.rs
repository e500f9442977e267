//! What cargo knows of the workspace's packages (`cargo metadata --no-deps`; cargo documents the format).

use std::{io, path::Path, process::Command};

use serde::Deserialize;

/// Why cargo's answer is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("cannot run cargo metadata: {0}")]
    Run(#[source] io::Error),
    #[error("cargo metadata failed: {0}")]
    Failed(String),
    #[error("cargo metadata answered what is not its format: {0}")]
    Format(#[from] serde_json::Error),
}

/// The members of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
}

/// One member.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: String,
    pub(crate) license: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    pub(crate) readme: Option<String>,
    /// The registries it may go to: `None` is any, an empty list is none.
    pub(crate) publish: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a dependency table.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The version asked for; `*` when none is.
    pub(crate) req: String,
    /// Set for dependencies by path.
    pub(crate) path: Option<String>,
}

impl Package {
    /// Whether the package is meant for a registry.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// The manifest, relative to the workspace: `crates/types/Cargo.toml`.
    pub(crate) fn manifest(&self) -> String {
        let parts: Vec<&str> = self.manifest_path.split('/').collect();
        let from = parts.iter().rposition(|part| *part == "crates").unwrap_or(parts.len().saturating_sub(2));
        parts[from..].join("/")
    }
}

impl Dependency {
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read(root: &Path) -> Result<Self, MetadataError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
            .current_dir(root)
            .output()
            .map_err(MetadataError::Run)?;
        if !output.status.success() {
            return Err(MetadataError::Failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
