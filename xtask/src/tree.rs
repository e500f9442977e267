//! The workspace's text files, in memory. Invariant: paths are relative to the workspace and use `/`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Folders that hold no source: build products and what git keeps.
const NOT_SOURCE: &[&str] = &["target", "build", ".git"];

/// A folder or file of the workspace that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}", path = path.display())]
pub(crate) struct TreeError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Every text file of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads every UTF-8 file below `root`, build products excepted.
    pub(crate) fn read(root: &Path) -> Result<Self, TreeError> {
        let mut tree = Self::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let wrong = |source| TreeError { path: folder.clone(), source };
            for entry in fs::read_dir(&folder).map_err(wrong)? {
                let entry = entry.map_err(wrong)?;
                let kind = entry.file_type().map_err(wrong)?;
                let path = entry.path();
                if kind.is_dir() {
                    let name = entry.file_name();
                    if !NOT_SOURCE.iter().any(|not| name == *not) {
                        folders.push(path);
                    }
                } else if kind.is_file() {
                    let bytes = fs::read(&path).map_err(|source| TreeError { path: path.clone(), source })?;
                    let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                    // A file that is not text (an image, say) exists, and has no lines to check.
                    tree.files.insert(relative, String::from_utf8(bytes).unwrap_or_default());
                }
            }
        }
        Ok(tree)
    }

    /// A tree made up by a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect() }
    }

    /// The text of one file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Every file, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every Rust source that a person wrote.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(path, text)| path.ends_with(".rs") && !is_generated(text))
    }

    /// Whether a file or a folder of that path exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || self.iter().any(|(file, _)| is_below(file, path))
    }
}

fn is_below(file: &str, folder: &str) -> bool {
    folder.is_empty() || file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Code generators mark their output in its first lines.
fn is_generated(text: &str) -> bool {
    text.lines().take(10).any(|line| line.contains("@generated"))
}
