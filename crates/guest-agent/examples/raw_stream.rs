//! Fills a vsock port of the host, `raw_stream PORT BYTES`, or its standard output, `raw_stream - BYTES`: a stream through
//! the agent is measured against one that goes past it.

use std::{env, error::Error, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_vsock::{VsockAddr, VsockStream};
use virtcontainers_agent_protocol::ports;

/// One write.
const PIECE: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: raw_stream PORT|- BYTES";
    let mut words = env::args().skip(1);
    let port = words.next().ok_or(usage)?;
    let bytes: usize = words.next().ok_or(usage)?.parse()?;
    let zeros = vec![0; PIECE];
    let pieces = (0..bytes).step_by(PIECE).filter_map(|from| zeros.get(..PIECE.min(bytes - from)));
    if port == "-" {
        let mut output = io::stdout().lock();
        for piece in pieces {
            io::Write::write_all(&mut output, piece)?;
        }
        return Ok(());
    }
    let mut host = VsockStream::connect(VsockAddr::new(ports::HOST_CID, port.parse()?)).await?;
    for piece in pieces {
        host.write_all(piece).await?;
    }
    // The host hangs up once it has all.
    host.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
