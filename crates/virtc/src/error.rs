//! What can go wrong in the tool itself; the library's errors pass through.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;
use virtcontainers::{ErrorKind, PortMapping};
use virtcontainers_guest_image::{BuildError, OpenError};

use crate::{
    exit::{self, Exit},
    verbs::cp::CopyError,
};

/// What an interrupted verb leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Undone,
    /// What it was to do: it cannot be undone, so it went on to its end.
    Done,
    /// The command, which was only attended.
    Running,
    /// A part of a copy.
    Partial,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undone => "everything was undone",
            Self::Done => "what had begun went on to its end",
            Self::Running => "the command goes on",
            Self::Partial => "what was copied before is there",
        })
    }
}

#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The library's.
    #[error(transparent)]
    Library(#[from] virtcontainers::Error),
    /// Words that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// A port to be published without a network that could.
    #[error("port {port} cannot be published: only a CNI network can, so add --net cni:NAME")]
    NothingToPublishOn { port: PortMapping },
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
    /// A copy between host and container.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] virtcontainers_agent_client::proxy::ProxyError),
    /// The vsock device.
    #[error(transparent)]
    Vsock(#[from] virtcontainers_vsock_device::VsockDeviceError),
    /// The shim.
    #[error(transparent)]
    Shim(#[from] virtcontainers_agent_client::shim::ShimError),
    /// Some I/O of the tool's own.
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    /// A container whose record cannot be read.
    #[error("container {name} is unreadable: {reason}")]
    BrokenContainer { name: String, reason: String },
    /// Some of several things failed; each was reported.
    #[error("{failed} of {all} failed")]
    Several { failed: usize, all: usize },
    /// A signal ended the wait for some work.
    #[error("interrupted; {left}")]
    Interrupted { signal: i32, left: Left },
}

impl CliError {
    /// The exit code for it.
    pub(crate) fn exit(&self) -> Exit {
        Exit::Code(match self {
            Self::Usage(_) | Self::NothingToPublishOn { .. } | Self::Configuration { .. } => exit::USAGE,
            Self::Library(error) if error.kind() == ErrorKind::CommandNotFound => exit::NOT_FOUND,
            Self::Library(error) if error.kind() == ErrorKind::CommandNotExecutable => exit::CANNOT_EXECUTE,
            Self::Interrupted { signal, .. } => 128 + signal,
            Self::Library(_)
            | Self::ReadFile { .. }
            | Self::NoGuestImage { .. }
            | Self::Image(_)
            | Self::Build(_)
            | Self::Copy(_)
            | Self::Proxy(_)
            | Self::Shim(_)
            | Self::Vsock(_)
            | Self::Io { .. }
            | Self::BrokenContainer { .. }
            | Self::Several { .. } => exit::FAILED,
        })
    }

    /// What to do next, where the error does not say so itself.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        let names_nothing = matches!(self, Self::Library(error) if error.kind() == ErrorKind::NotFound);
        names_nothing.then_some("virtc list shows the sandboxes, virtc container list what is in them")
    }

    /// Whether the reader of our output went away, which is no failure of ours.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
