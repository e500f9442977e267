//! What can go wrong in the tool itself; the library's errors pass through.

use std::{io, path::PathBuf};

use thiserror::Error;
use virtcontainers::ErrorKind;
use virtcontainers_guest_image::{BuildError, OpenError};

use crate::exit::{self, Exit};

#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The library's.
    #[error(transparent)]
    Library(#[from] virtcontainers::Error),
    /// Words that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// A file of settings that cannot be read.
    #[error("cannot read {path}: {source}")]
    ReadFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file of settings with a wrong content.
    #[error("{path} is not a valid configuration:\n{message}")]
    Configuration { path: PathBuf, message: String },
    /// No guest image.
    #[error(
        "no guest image found; looked in {}: make one with `virtc guest build`, or name its directory with --guest",
        .looked.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoGuestImage { looked: Vec<PathBuf> },
    /// A guest image that cannot be used.
    #[error(transparent)]
    Image(#[from] OpenError),
    /// A guest image that could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] virtcontainers_agent_client::proxy::ProxyError),
    /// Some I/O of the tool's own.
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    /// Some of several things failed; each was reported.
    #[error("{failed} of {all} failed")]
    Several { failed: usize, all: usize },
    /// A signal ended the work, and all was undone.
    #[error("interrupted; everything was undone")]
    Interrupted { signal: i32 },
}

impl CliError {
    /// The exit code for it.
    pub(crate) fn exit(&self) -> Exit {
        Exit::Code(match self {
            Self::Usage(_) | Self::Configuration { .. } => exit::USAGE,
            Self::Library(error) if error.kind() == ErrorKind::CommandNotFound => exit::NOT_FOUND,
            Self::Library(error) if error.kind() == ErrorKind::CommandNotExecutable => exit::CANNOT_EXECUTE,
            Self::Interrupted { signal } => 128 + signal,
            Self::Library(_)
            | Self::ReadFile { .. }
            | Self::NoGuestImage { .. }
            | Self::Image(_)
            | Self::Build(_)
            | Self::Proxy(_)
            | Self::Io { .. }
            | Self::Several { .. } => exit::FAILED,
        })
    }

    /// Whether the reader of our output went away, which is no failure of ours.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
