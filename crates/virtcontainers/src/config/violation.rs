//! What is wrong with a configuration: everything at once, each with its field and its remedy.

use std::{fmt, path::PathBuf};

use thiserror::Error;
use virtcontainers_types::{InvalidId, InvalidUnit, MiB};

use crate::privileges::Refusal;

/// Every violation of a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    violations: Vec<Violation>,
}

impl ConfigError {
    /// The violations, in the order of the configuration's fields.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// A single violation.
    pub(crate) fn one(field: impl Into<String>, problem: Problem) -> Self {
        Self { violations: vec![Violation { field: field.into(), problem }] }
    }

    /// `Ok` without violations, else the error that holds them.
    pub(crate) fn unless_empty(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() { Ok(()) } else { Err(Self { violations }) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.violations.as_slice() {
            [one] => write!(f, "invalid configuration: {one}"),
            all => {
                write!(f, "invalid configuration, {} problems:", all.len())?;
                all.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Path of the field, for example `containers[0].cmd.args`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub problem: Problem,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// What can be wrong with a field. The text names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The field asks for something that this version cannot do.
    #[error("this feature is not built in this version: leave the field out")]
    NotBuilt,
    /// What this process may not do.
    #[error("{} cannot be made by this process: {}", .0.ability, .0.why)]
    Unprivileged(Refusal),
    /// What only systemd does, on a host that it does not run.
    #[error(
        "this host is not run by systemd (there is no /run/systemd/system): leave it out, and write the path of a \
             control group in cgroups where one is wanted"
    )]
    NoSystemd,
    /// An id that is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A size or count that is none.
    #[error(transparent)]
    Unit(#[from] InvalidUnit),
    /// The same id twice.
    #[error("{0:?} is used twice: give each its own")]
    Duplicate(String),
    /// A field that must be set.
    #[error("nothing is given: {0}")]
    Missing(&'static str),
    /// A value that cannot be, with what is expected instead.
    #[error("{found:?} cannot be used: {expected}")]
    Invalid {
        /// The value.
        found: String,
        /// What is expected.
        expected: &'static str,
    },
    /// Two fields that exclude each other.
    #[error("cannot be given together with {other}: {remedy}")]
    Conflict {
        /// The other field.
        other: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A path that is not absolute.
    #[error("{0:?} is a relative path: write it from the root, starting with '/'")]
    RelativePath(PathBuf),
    /// A path that leads to nothing.
    #[error("{path:?} does not exist: {remedy}")]
    NotFound {
        /// The path.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// A path that leads to another kind of file.
    #[error("{path:?} is not {wanted}")]
    WrongFileType {
        /// The path.
        path: PathBuf,
        /// What it must be, with its article.
        wanted: &'static str,
    },
    /// A path that cannot be read.
    #[error("{path:?} cannot be read ({why}): check its permissions and those of its parents")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// More memory than the host has.
    #[error("{wanted} is more memory than the host's {host}: ask for less")]
    TooMuchMemory {
        /// The size asked for.
        wanted: MiB,
        /// The host's memory.
        host: MiB,
    },
    /// A file that is not the expected one.
    #[error(
        "{path:?} has the SHA-512 {found}, expected was {expected}: restore the file or correct the hash"
    )]
    HashMismatch {
        /// The file.
        path: PathBuf,
        /// The hash expected.
        expected: String,
        /// The hash found.
        found: String,
    },
}
