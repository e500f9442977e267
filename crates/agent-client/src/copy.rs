//! Files for the guest, of any size, in pieces that the protocol can carry.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{
    agent::{Agent, FileChunk},
    error::AgentError,
};

/// A file did not get into the guest. Pieces that did are never seen under the file's name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source could not be read.
    #[error("cannot read what is to become {path} in the guest, at byte {at}")]
    Read {
        /// The file in the guest.
        path: String,
        /// How far it was read.
        at: u64,
        /// Why not further.
        #[source]
        source: io::Error,
    },
    /// The source is shorter than was said: it has changed meanwhile.
    #[error(
        "{path} was to get {expected} bytes and got {came}: its source has changed meanwhile, copy it again"
    )]
    Short {
        /// The file in the guest.
        path: String,
        /// The size that was said.
        expected: u64,
        /// What there was.
        came: u64,
    },
    /// The agent did not take it.
    #[error("cannot copy to {path} in the guest")]
    Agent {
        /// The file in the guest.
        path: String,
        /// Why not.
        #[source]
        source: AgentError,
    },
}

/// Copies `file.file_size` bytes from `source` into the guest, as the file that `file` describes; `file.offset` and
/// `file.data` count for nothing. What the source has beyond that stays unread.
///
/// # Errors
/// [`CopyError`]; the guest then has no such file, or the one that it had before.
pub async fn copy_file(
    agent: &dyn Agent,
    file: FileChunk,
    mut source: impl AsyncRead + Unpin + Send,
) -> Result<(), CopyError> {
    let mut at = 0;
    loop {
        let data = piece(&file, at, &mut source).await?;
        let next = at + data.len() as u64;
        let chunk = FileChunk { offset: at, data, ..header(&file) };
        agent
            .copy_file(chunk)
            .await
            .map_err(|source| CopyError::Agent { path: file.path.clone(), source })?;
        if next == file.file_size {
            return Ok(()); // an empty file has one piece too
        }
        at = next;
    }
}

fn header(file: &FileChunk) -> FileChunk {
    let FileChunk { ref path, file_size, offset: _, data: _, file_mode, dir_mode, uid, gid } = *file;
    FileChunk { path: path.clone(), file_size, file_mode, dir_mode, uid, gid, ..FileChunk::default() }
}

/// The piece from `at` on: a full one, unless it is the last.
async fn piece(
    file: &FileChunk,
    at: u64,
    source: &mut (impl AsyncRead + Unpin + Send),
) -> Result<Vec<u8>, CopyError> {
    let want = (file.file_size - at).min(FileChunk::MAX as u64);
    let mut data = Vec::with_capacity(usize::try_from(want).unwrap_or(FileChunk::MAX));
    let read = source.take(want).read_to_end(&mut data).await;
    read.map_err(|source| CopyError::Read { path: file.path.clone(), at, source })?;
    if data.len() as u64 == want {
        return Ok(data);
    }
    let came = at + data.len() as u64;
    Err(CopyError::Short { path: file.path.clone(), expected: file.file_size, came })
}
