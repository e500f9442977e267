//! `CopyFile`; the work is [`crate::copy`]'s.

use std::{path::Path, sync::Arc};

use virtcontainers_agent_protocol::{
    api::{Empty, agent::CopyFileRequest},
    guest_paths,
};

use super::blocking;
use crate::{agent::Agent, copy::Piece, error::CallError};

pub(super) async fn copy(_: &Arc<Agent>, request: CopyFileRequest) -> Result<Empty, CallError> {
    let piece = Piece::new(request)?;
    // The target may lie on a file server of the host's.
    let applied = blocking(move || Ok(piece.apply(Path::new(guest_paths::BASE)))).await;
    applied.map_err(CallError::io("copy to", guest_paths::BASE))??;
    Ok(Empty::new())
}
