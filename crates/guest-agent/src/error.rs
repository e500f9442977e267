//! Why a call was refused or failed, and the status code that the host gets for it.

use std::{io, path::PathBuf};

use ttrpc::{Code, get_status};
use virtcontainers_agent_protocol::oci::ConversionError;

use crate::{
    container::{launch::LaunchError, update::LimitError},
    init::modules::ModuleError,
    network::NetworkError,
    storage::StorageError,
};

/// A call could not be answered with success. Its text goes to the host as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// A field of the request is not acceptable.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as the protocol names it.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The OCI specification in the request cannot be read.
    #[error("the container specification is not usable: {0}")]
    Specification(#[from] ConversionError),
    /// No such container.
    #[error("there is no container `{0}` in this sandbox")]
    NoContainer(String),
    /// No such process.
    #[error("container `{container}` has no process `{exec}`")]
    NoProcess {
        /// The container.
        container: String,
        /// The exec id.
        exec: String,
    },
    /// The process has ended.
    #[error("process `{exec}` of container `{container}` has ended already")]
    Ended {
        /// The container.
        container: String,
        /// The exec id.
        exec: String,
    },
    /// The name is not in the container's user database.
    #[error("the container's {database} has no entry `{name}`: give a number, or add the entry")]
    NoUser {
        /// `/etc/passwd` or `/etc/group`.
        database: &'static str,
        /// What was looked for.
        name: String,
    },
    /// The executable is not in the container.
    #[error("executable `{0}` was not found in the container: check the command and its $PATH")]
    NoExecutable(String),
    /// The executable is in the container, but cannot be executed.
    #[error(
        "`{0}` in the container cannot be executed: it is no file, or has no execute permission (chmod +x)"
    )]
    NotExecutable(String),
    /// There is no such file in the guest.
    #[error("`{}` is not there in the guest", .0.display())]
    NoFile(PathBuf),
    /// The call changes the machine that the agent runs on, and that is no virtual machine of its own.
    #[error("{0} would change this machine: the agent serves outside of a virtual machine")]
    OutsideOfGuest(&'static str),
    /// The id is taken.
    #[error("{what} `{id}` exists already: choose another id or remove it first")]
    Exists {
        /// `container`, `process` or `sandbox`.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// The container is in a state in which the call makes no sense.
    #[error("container `{id}` is {state}: {wanted}")]
    WrongState {
        /// The container.
        id: String,
        /// Its state.
        state: &'static str,
        /// What to do, or which state is needed.
        wanted: &'static str,
    },
    /// The process cannot take what was sent.
    #[error("standard input of process `{exec}` of container `{container}` is closed")]
    InputClosed {
        /// The container.
        container: String,
        /// The exec id.
        exec: String,
    },
    /// Too many of something.
    #[error("{what}: at most {limit}")]
    TooMany {
        /// What there is too much of, and the remedy.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The call, or a field that was set in it, is not built.
    #[error("{0} is not supported by this agent")]
    NotBuilt(&'static str),
    /// Something did not end in time.
    #[error("timed out waiting for {0}")]
    Timeout(String),
    /// The process could not be launched.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A storage could not be mounted.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A kernel module could not be loaded.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The network could not be changed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A kernel interface failed.
    #[error("could not {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// A resource limit could not be set.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A hook failed.
    #[error("hook `{}` ended with code {code}", path.display())]
    Hook {
        /// Its executable.
        path: PathBuf,
        /// Its exit code.
        code: i32,
    },
    /// `libcontainer` could not start a created container.
    #[error("could not start container `{id}`: {reason}")]
    Start {
        /// The container.
        id: String,
        /// The chain of causes.
        reason: String,
    },
    /// The call's code panicked.
    #[error("the agent failed inside {0}: this is a defect of the agent, see the guest's console")]
    Panicked(&'static str),
}

impl CallError {
    /// For use with `map_err`: `doing` `path` failed.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// The status code of the answer.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } | Self::Specification(_) | Self::NoUser { .. } => Code::INVALID_ARGUMENT,
            Self::NoFile(_) => Code::NOT_FOUND,
            Self::OutsideOfGuest(_) => Code::FAILED_PRECONDITION,
            Self::NoContainer(_) | Self::NoProcess { .. } | Self::Ended { .. } | Self::NoExecutable(_) => {
                Code::NOT_FOUND
            }
            Self::NotExecutable(_) => Code::PERMISSION_DENIED,
            Self::Exists { .. } => Code::ALREADY_EXISTS,
            Self::WrongState { .. } | Self::InputClosed { .. } => Code::FAILED_PRECONDITION,
            Self::TooMany { .. } => Code::RESOURCE_EXHAUSTED,
            Self::NotBuilt(_) => Code::UNIMPLEMENTED,
            Self::Timeout(_) => Code::DEADLINE_EXCEEDED,
            Self::Launch(error) => error.code(),
            Self::Storage(error) => error.code(),
            Self::Module(error) => error.code(),
            Self::Network(error) => error.code(),
            Self::Limit(error) if error.is_refusal() => Code::INVALID_ARGUMENT,
            Self::Limit(error) if error.is_absent() => Code::FAILED_PRECONDITION,
            Self::Io { .. } | Self::Limit(_) | Self::Hook { .. } | Self::Start { .. } | Self::Panicked(_) => {
                Code::INTERNAL
            }
        }
    }
}

impl From<CallError> for ttrpc::Error {
    fn from(error: CallError) -> Self {
        Self::RpcStatus(get_status(error.code(), error.to_string()))
    }
}
