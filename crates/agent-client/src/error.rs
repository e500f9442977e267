//! What can go wrong between the host and an agent.
//!
//! Text that comes from the guest is hostile: it enters an error only through [`guest_text`], which bounds it and
//! takes out what could steer a terminal or forge a log line.

use std::{fmt, io, time::Duration};

use thiserror::Error;
use virtcontainers_agent_protocol::transport::TransportError;

/// The longest message of a guest that an error carries, in bytes.
pub const MAX_GUEST_MESSAGE: usize = 4096;

/// A call to an agent, or the way to it, failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AgentError {
    /// No connection could be made.
    #[error("cannot connect to the agent at {address}")]
    Connect {
        /// Where it was expected.
        address: String,
        /// Why not.
        #[source]
        source: TransportError,
    },
    /// The agent refused or failed a call.
    #[error("the agent failed {method}: {code}: {message}")]
    Rpc {
        /// The protocol's name of the call.
        method: &'static str,
        /// The status code.
        code: RpcCode,
        /// The agent's words, bounded and free of control characters.
        message: String,
    },
    /// The agent does not know a call.
    #[error("the agent does not implement {method}: use a guest image whose agent has it")]
    Unimplemented {
        /// The protocol's name of the call.
        method: &'static str,
    },
    /// No answer came in time. The guest may still carry the call out.
    #[error("the agent did not answer {method} within {after:?}: the guest is stuck or very slow")]
    Timeout {
        /// The call that was waited for; `connect` for a connection.
        method: &'static str,
        /// How long.
        after: Duration,
    },
    /// The connection ended before the answer. The guest may have carried the call out.
    #[error("the connection to the agent ended during {method}: the guest or its transport is gone")]
    Disconnected {
        /// The call under way.
        method: &'static str,
    },
    /// The agent says that it does not serve yet.
    #[error("the agent does not serve yet")]
    NotReady,
    /// An agent that was dialled again and again did not answer in time.
    #[error("the agent at {address} was not ready within {after:?} ({attempts} attempts)")]
    NeverReady {
        /// Where it was expected.
        address: String,
        /// How long it was dialled.
        after: Duration,
        /// How often.
        attempts: u32,
        /// What the last attempt met.
        #[source]
        last: Box<AgentError>,
    },
    /// The agent answered what the protocol does not allow.
    #[error("the agent broke the protocol in {method}: {reason}")]
    Protocol {
        /// The protocol's name of the call.
        method: &'static str,
        /// What was wrong with the answer.
        reason: String,
    },
    /// An argument that the protocol cannot carry.
    #[error("{method} cannot be sent: {reason}")]
    Argument {
        /// The protocol's name of the call.
        method: &'static str,
        /// What cannot be carried.
        reason: String,
    },
    /// No listener for a guest's announcement.
    #[error("cannot listen for the guest's announcement at {at}")]
    Listen {
        /// The socket.
        at: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// Too many strangers connected where the agent was to announce itself.
    #[error("{refused} connections to {at} were no announcement: something else in the guest uses this port")]
    NotAnnounced {
        /// The socket.
        at: String,
        /// How many were refused.
        refused: usize,
    },
}

/// A coarse answer to "what shall the caller do now".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentErrorKind {
    /// Nobody listens yet; dial again.
    NotReady,
    /// The way to the agent cannot be made.
    Transport,
    /// No answer in time.
    Timeout,
    /// The connection ended.
    Disconnected,
    /// The agent does not know the call.
    Unimplemented,
    /// The container or process does not exist.
    NotFound,
    /// The container or process exists already.
    AlreadyExists,
    /// The agent refuses an argument.
    InvalidArgument,
    /// The guest's kernel does not permit it: with our agent, a command that cannot be executed.
    PermissionDenied,
    /// The state of the container or process does not admit the call.
    FailedPrecondition,
    /// The agent broke the protocol.
    Protocol,
    /// The agent failed for a reason of its own.
    Failed,
}

impl AgentError {
    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> AgentErrorKind {
        match self {
            Self::Connect { source, .. } if source.is_not_ready() => AgentErrorKind::NotReady,
            Self::Connect { .. } | Self::Listen { .. } => AgentErrorKind::Transport,
            Self::Rpc { code, .. } => code.kind(),
            Self::Unimplemented { .. } => AgentErrorKind::Unimplemented,
            Self::Timeout { .. } | Self::NeverReady { .. } => AgentErrorKind::Timeout,
            Self::Disconnected { .. } => AgentErrorKind::Disconnected,
            Self::NotReady => AgentErrorKind::NotReady,
            Self::Protocol { .. } | Self::NotAnnounced { .. } => AgentErrorKind::Protocol,
            Self::Argument { .. } => AgentErrorKind::InvalidArgument,
        }
    }

    /// Whether an agent that still boots would look just so: dial again later.
    #[must_use]
    pub fn is_not_ready(&self) -> bool {
        self.kind() == AgentErrorKind::NotReady
    }

    /// Of a call that concerns nothing that could be missing: what is *not found* is the call itself.
    pub(crate) fn or_unimplemented(self) -> Self {
        if let Self::Rpc { method, code: RpcCode::NotFound, .. } = self {
            return Self::Unimplemented { method };
        }
        self
    }

    /// The error of one ttrpc call.
    pub(crate) fn of_call(method: &'static str, error: ttrpc::Error) -> Self {
        match error {
            ttrpc::Error::RpcStatus(status) => {
                let code = RpcCode::from_number(status.code.value());
                if code == RpcCode::Unimplemented {
                    return Self::Unimplemented { method };
                }
                Self::Rpc { method, code, message: guest_text(&status.message) }
            }
            ttrpc::Error::Socket(_)
            | ttrpc::Error::Nix(_)
            | ttrpc::Error::LocalClosed
            | ttrpc::Error::RemoteClosed
            | ttrpc::Error::Eof => Self::Disconnected { method },
            ttrpc::Error::Others(reason) => Self::Protocol { method, reason: guest_text(&reason) },
        }
    }
}

impl From<AgentError> for io::Error {
    fn from(error: AgentError) -> Self {
        let kind = match error.kind() {
            AgentErrorKind::NotReady => io::ErrorKind::ConnectionRefused,
            AgentErrorKind::Disconnected => io::ErrorKind::ConnectionReset,
            AgentErrorKind::Timeout => io::ErrorKind::TimedOut,
            AgentErrorKind::NotFound => io::ErrorKind::NotFound,
            AgentErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            AgentErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            AgentErrorKind::InvalidArgument => io::ErrorKind::InvalidInput,
            AgentErrorKind::Unimplemented => io::ErrorKind::Unsupported,
            AgentErrorKind::Protocol => io::ErrorKind::InvalidData,
            AgentErrorKind::Transport | AgentErrorKind::FailedPrecondition | AgentErrorKind::Failed => {
                io::ErrorKind::Other
            }
        };
        Self::new(kind, error)
    }
}

macro_rules! rpc_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $kind:ident;)+) => {
        /// The status codes of gRPC and ttrpc (`google.rpc.Code`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RpcCode { $($(#[$doc])* $name),+ }

        impl RpcCode {
            /// The code of a number on the wire; a number that is none is [`RpcCode::Unknown`].
            #[must_use]
            pub const fn from_number(number: i32) -> Self {
                match number { $($number => Self::$name,)+ _ => Self::Unknown }
            }

            /// Its number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$name => $number),+ }
            }

            /// What sort of failure it means.
            #[must_use]
            pub const fn kind(self) -> AgentErrorKind {
                match self { $(Self::$name => AgentErrorKind::$kind),+ }
            }
        }

        impl fmt::Display for RpcCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text),+ })
            }
        }
    };
}

rpc_codes! {
    /// Cancelled by the caller.
    Cancelled = 1, "cancelled", Failed;
    /// No better code is known.
    Unknown = 2, "unknown error", Failed;
    /// An argument is wrong whatever the state.
    InvalidArgument = 3, "invalid argument", InvalidArgument;
    /// Not done in time, says the guest.
    DeadlineExceeded = 4, "deadline exceeded", Timeout;
    /// No such container or process.
    NotFound = 5, "not found", NotFound;
    /// It exists already.
    AlreadyExists = 6, "already exists", AlreadyExists;
    /// Not allowed.
    PermissionDenied = 7, "permission denied", PermissionDenied;
    /// The guest has run out of something.
    ResourceExhausted = 8, "resource exhausted", Failed;
    /// The state does not admit the call.
    FailedPrecondition = 9, "failed precondition", FailedPrecondition;
    /// Aborted by another call.
    Aborted = 10, "aborted", Failed;
    /// Past the end.
    OutOfRange = 11, "out of range", Failed;
    /// The call is not known.
    Unimplemented = 12, "unimplemented", Unimplemented;
    /// Something broke in the agent.
    Internal = 13, "internal error", Failed;
    /// The agent cannot serve now.
    Unavailable = 14, "unavailable", NotReady;
    /// Data is lost.
    DataLoss = 15, "data loss", Failed;
    /// The caller is not known.
    Unauthenticated = 16, "unauthenticated", Failed;
}

/// Text from a guest, made fit for an error message: at most [`MAX_GUEST_MESSAGE`] bytes, and a space for each
/// character that could steer a terminal, break a line or turn the direction of writing.
#[must_use]
pub fn guest_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_GUEST_MESSAGE));
    for c in text.chars() {
        if shown.len() + c.len_utf8() > MAX_GUEST_MESSAGE {
            break;
        }
        shown.push(if is_steering(c) { ' ' } else { c });
    }
    shown
}

/// Whether a character could steer a terminal, break a line or turn the direction of writing.
pub(crate) fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
