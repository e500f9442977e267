//! What can go wrong with a copy.

use thiserror::Error;

use super::{pack::PackError, unpack::UnpackError};

/// Why a copy failed.
#[derive(Debug, Error)]
pub(crate) enum CopyError {
    /// The container lacks a tool.
    #[error(
        "container {container} has no {tool}, which virtc cp runs there: put it into the container's root, or share a \
         directory with virtc run -v"
    )]
    NoTool { container: String, tool: &'static str },
    /// The tool in the container failed.
    #[error("{tool} in container {container} failed with exit code {code}: {said}")]
    Tool { container: String, tool: &'static str, code: i32, said: String },
    /// The two ends do not fit together.
    #[error("{0}")]
    Unfit(String),
    /// Packing failed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Unpacking failed.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}
