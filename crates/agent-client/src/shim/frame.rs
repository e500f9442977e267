//! The frames between a shim and those who attach to it: kind (u8), length (u32, little endian), payload.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{agent::TerminalSize, io::OutputStream};

/// The longest payload, in bytes. Whoever sends a longer one is no client.
pub(super) const MAX_PAYLOAD: usize = 128 << 10;

const HEAD: usize = 5;

/// From a client to the shim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Stdin(Vec<u8>),
    CloseStdin,
    Resize(TerminalSize),
    Signal(u32),
}

/// From the shim to a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Output(OutputStream, Vec<u8>),
    Exit(i32),
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdin(data) => frame(0, data),
            Self::CloseStdin => frame(1, &[]),
            Self::Resize(size) => {
                let short = |n: u32| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
                let ([a, b], [c, d]) = (short(size.rows), short(size.columns));
                frame(2, &[a, b, c, d])
            }
            Self::Signal(number) => frame(3, &number.to_le_bytes()),
        }
    }

    /// The next request; `None` at the end. Not cancel safe.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let Some((kind, payload)) = read(from).await? else { return Ok(None) };
        match (kind, payload.as_slice()) {
            (0, _) => Ok(Some(Self::Stdin(payload))),
            (1, []) => Ok(Some(Self::CloseStdin)),
            (2, &[a, b, c, d]) => Ok(Some(Self::Resize(TerminalSize {
                rows: u16::from_le_bytes([a, b]).into(),
                columns: u16::from_le_bytes([c, d]).into(),
            }))),
            (3, &[a, b, c, d]) => Ok(Some(Self::Signal(u32::from_le_bytes([a, b, c, d])))),
            (kind, _) => Err(strange(kind, payload.len())),
        }
    }
}

impl Event {
    /// The frame of some output. `data` is not longer than a payload may be.
    pub(super) fn output(stream: OutputStream, data: &[u8]) -> Bytes {
        let kind = match stream {
            OutputStream::Stdout => 10,
            OutputStream::Stderr => 11,
        };
        frame(kind, data).into()
    }

    pub(super) fn exit(code: i32) -> Bytes {
        frame(12, &code.to_le_bytes()).into()
    }

    /// The next event; `None` at the end. Not cancel safe.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let Some((kind, payload)) = read(from).await? else { return Ok(None) };
        match (kind, payload.as_slice()) {
            (10, _) => Ok(Some(Self::Output(OutputStream::Stdout, payload))),
            (11, _) => Ok(Some(Self::Output(OutputStream::Stderr, payload))),
            (12, &[a, b, c, d]) => Ok(Some(Self::Exit(i32::from_le_bytes([a, b, c, d])))),
            (kind, _) => Err(strange(kind, payload.len())),
        }
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + payload.len());
    frame.push(kind);
    // What does not fit is never given here, and would be refused there.
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut kind = [0];
    if from.read(&mut kind).await? == 0 {
        return Ok(None);
    }
    let [kind] = kind;
    let length = from.read_u32_le().await?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD {
        return Err(strange(kind, length));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    Ok(Some((kind, payload)))
}

fn strange(kind: u8, length: usize) -> io::Error {
    let what = format!("a frame of kind {kind} with {length} bytes is none of this protocol");
    io::Error::new(io::ErrorKind::InvalidData, what)
}
