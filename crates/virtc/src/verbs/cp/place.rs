//! How the two ends of a copy are named: `PATH`, `SANDBOX[/CONTAINER]:PATH`, or `-`.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use thiserror::Error;

use crate::target::Target;

/// One end of a copy.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A tar stream on a standard stream.
    Stream,
    /// A path on the host, as it was written.
    Host(PathBuf),
    /// A path in a container.
    Container(Target, Inside),
}

/// A path in a container: absolute, and nothing but names, since only the container can tell what its links mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inside {
    /// The directory that it is in.
    pub(crate) parent: String,
    /// Its name in there; none for the root, or where only what is in a directory is meant.
    pub(crate) name: Option<String>,
    /// It was written with a slash at the end, so it is a directory.
    pub(crate) must_be_directory: bool,
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no place to copy: {why}")]
pub(crate) struct NoPlace {
    text: String,
    why: String,
}

impl FromStr for Place {
    type Err = NoPlace;
    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let wrong = |why: String| NoPlace { text: text.to_owned(), why };
        if text == "-" {
            return Ok(Self::Stream);
        }
        if text.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        // As with docker: a name that begins so is of the host, whatever follows.
        if text.starts_with(['/', '.']) {
            return Ok(Self::Host(text.into()));
        }
        let Some((target, path)) = text.split_once(':') else { return Ok(Self::Host(text.into())) };
        let target = target.parse().map_err(|error| {
            wrong(format!("{error}; put ./ before a file of the host whose name has a colon"))
        })?;
        Inside::parse(path).map(|path| Self::Container(target, path)).map_err(wrong)
    }
}

impl Inside {
    /// A path without a slash before it begins at the root, as with docker.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Err("write the path in the container after the colon".to_owned());
        }
        let contents = path == "." || path.ends_with("/.");
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let must_be_directory = contents || path.ends_with('/');
        match names.split_last() {
            Some((last, before)) if !contents && *last != ".." => Ok(Self {
                parent: format!("/{}", before.join("/")),
                name: Some((*last).to_owned()),
                must_be_directory,
            }),
            Some(_) | None => {
                Ok(Self { parent: format!("/{}", names.join("/")), name: None, must_be_directory: true })
            }
        }
    }

    /// The whole path.
    pub(crate) fn path(&self) -> String {
        match &self.name {
            Some(name) if self.parent == "/" => format!("/{name}"),
            Some(name) => format!("{}/{name}", self.parent),
            None => self.parent.clone(),
        }
    }

    /// How a tar in the directory above calls it. The dot before it keeps names with a dash from being options.
    pub(crate) fn member(&self) -> String {
        self.name.as_ref().map_or_else(|| ".".to_owned(), |name| format!("./{name}"))
    }
}

/// Whether what is in a directory is meant, and not the directory: `DIR/.`.
pub(crate) fn means_contents(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes == b"." || bytes.ends_with(b"/.")
}

/// Whether a path was written with a slash at its end.
pub(crate) fn has_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

#[cfg(test)]
mod tests;
