//! Identifiers of sandboxes, containers and processes.
//!
//! An id becomes a directory name, a cgroup name and a part of a socket path, so its alphabet is narrow: ASCII letters
//! and digits, `-` and `_`, starting with a letter or digit. Dots and slashes are refused, hence no id can walk a path.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest id, in bytes. Docker and Kubernetes use 64 hexadecimal digits; the rest is room for prefixes.
pub const MAX_ID_LEN: usize = 128;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The string is empty.
    #[error("the {what} id is empty: give it at least one letter or digit")]
    Empty {
        /// What the id names, for example `sandbox`.
        what: &'static str,
    },
    /// The string is longer than [`MAX_ID_LEN`].
    #[error("the {what} id is {len} bytes long: use at most {MAX_ID_LEN}")]
    TooLong {
        /// What the id names.
        what: &'static str,
        /// The length found, in bytes.
        len: usize,
    },
    /// A character outside the alphabet, or a first character that is not alphanumeric.
    #[error(
        "the {what} id {id:?} has {found:?} at position {position}: use ASCII letters, digits, '-' and '_', \
         and start with a letter or digit"
    )]
    Character {
        /// What the id names.
        what: &'static str,
        /// The whole string.
        id: String,
        /// The character that does not belong.
        found: char,
        /// Its byte offset.
        position: usize,
    },
}

fn check(what: &'static str, id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        return Err(InvalidId::Empty { what });
    }
    if id.len() > MAX_ID_LEN {
        return Err(InvalidId::TooLong { what, len: id.len() });
    }
    let belongs = |(position, c): (usize, char)| match c {
        c if c.is_ascii_alphanumeric() => true,
        '-' | '_' => position > 0,
        _ => false,
    };
    match id.char_indices().find(|&at| !belongs(at)) {
        None => Ok(()),
        Some((position, found)) => Err(InvalidId::Character { what, id: id.to_owned(), found, position }),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the string and makes it an id.
            ///
            /// # Errors
            /// [`InvalidId`] says which character or length does not belong.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
                let id = id.into();
                check($what, &id)?;
                Ok(Self(id))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(id: &str) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id! {
    /// Names a sandbox: unique under one root directory of a host.
    ///
    /// ```
    /// use virtcontainers_types::SandboxId;
    /// assert!(SandboxId::new("web-1").is_ok());
    /// assert!(SandboxId::new("../etc").is_err());
    /// ```
    SandboxId, "sandbox"
}
id! {
    /// Names a container: unique within its sandbox.
    ContainerId, "container"
}
id! {
    /// Names a process of a container (the reference document's *token*): unique within its container. The
    /// container's first process carries the container's own id.
    ExecId, "process"
}

impl From<&ContainerId> for ExecId {
    /// The id of the container's first process.
    fn from(container: &ContainerId) -> Self {
        Self(container.0.clone())
    }
}
