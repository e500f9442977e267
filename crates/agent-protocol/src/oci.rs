//! OCI container specifications as protocol messages, both ways.
//!
//! The messages of [`crate::api::oci`] are older and smaller than the OCI runtime specification. Two rules bridge the
//! gap:
//!
//! - A zero scalar, an empty string and an empty list on the wire mean "not set", and come back as `None`. The one
//!   exception is a capability set: in a message that has capabilities, an absent set is an empty set, for nobody
//!   may keep a capability by omission.
//! - What the messages have no field for is never dropped silently: [`to_message`] refuses it, and a caller that has
//!   decided to go without says so by [`to_message_lossy`], with [`not_carried`] naming what gets lost.

mod decode;
mod encode;
mod not_carried;

use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxResources, Process, Spec};
use thiserror::Error;

use crate::api::oci as message;

/// A specification cannot be turned into a message, or a message into a specification.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// The agent protocol has no fields for these.
    #[error("the agent protocol cannot carry {}: remove them from the specification", .fields.join(", "))]
    NotCarried {
        /// Paths in `config.json`.
        fields: Vec<&'static str>,
    },
    /// A path is not UTF-8, as the messages' strings must be.
    #[error("{field} is not UTF-8: {value:?}")]
    NotUtf8 {
        /// Path in `config.json`.
        field: &'static str,
        /// The value.
        value: std::path::PathBuf,
    },
    /// A number does not fit.
    #[error("{field} is out of range: {value}")]
    OutOfRange {
        /// Path in `config.json`.
        field: &'static str,
        /// The value.
        value: i128,
    },
    /// A name is none of the specification's.
    #[error("{field} has the unknown value {value:?}")]
    Unknown {
        /// Path in `config.json`.
        field: &'static str,
        /// The value, shortened.
        value: String,
        /// What the parser said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The specification's own checks reject the value.
    #[error("the message is no valid OCI specification")]
    Invalid(#[from] OciSpecError),
}

/// The message for a whole specification.
///
/// # Errors
/// [`ConversionError::NotCarried`] with every field that the message cannot carry; others for values that do not fit.
pub fn to_message(spec: &Spec) -> Result<message::Spec, ConversionError> {
    refuse(not_carried(spec))?;
    to_message_lossy(spec)
}

/// The message for a specification without the parts listed by [`not_carried`].
///
/// # Errors
/// For values that do not fit.
pub fn to_message_lossy(spec: &Spec) -> Result<message::Spec, ConversionError> {
    encode::spec(spec)
}

/// What a message cannot carry of a specification, as paths in `config.json`.
#[must_use]
pub fn not_carried(spec: &Spec) -> Vec<&'static str> {
    not_carried::of_spec(spec)
}

/// The specification in a message.
///
/// # Errors
/// For unknown names and values that do not fit; a message may come from anywhere.
pub fn from_message(message: &message::Spec) -> Result<Spec, ConversionError> {
    decode::spec(message)
}

/// The message for a process, as `ExecProcess` wants it.
///
/// # Errors
/// As [`to_message`].
pub fn process_to_message(process: &Process) -> Result<message::Process, ConversionError> {
    refuse(not_carried::of_process(process))?;
    encode::process(process)
}

/// The process in a message.
///
/// # Errors
/// As [`from_message`].
pub fn process_from_message(message: &message::Process) -> Result<Process, ConversionError> {
    decode::process(message)
}

/// The message for resource limits, as `UpdateContainer` wants it.
///
/// # Errors
/// As [`to_message`].
pub fn resources_to_message(resources: &LinuxResources) -> Result<message::LinuxResources, ConversionError> {
    refuse(not_carried::of_resources(resources))?;
    encode::resources(resources)
}

/// The resource limits in a message.
///
/// # Errors
/// As [`from_message`].
pub fn resources_from_message(message: &message::LinuxResources) -> Result<LinuxResources, ConversionError> {
    decode::resources(message)
}

fn refuse(fields: Vec<&'static str>) -> Result<(), ConversionError> {
    if fields.is_empty() { Ok(()) } else { Err(ConversionError::NotCarried { fields }) }
}
