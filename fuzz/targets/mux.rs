//! yamux frames from the other side of a virtio-serial port, for both of ours. The first byte chooses which.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    runtime::{Builder, Runtime},
    time::timeout,
};
use virtcontainers_agent_protocol::transport::{Incoming, Mux};

/// What lies on the way in either direction.
const PIPE: usize = 1 << 16;

/// A session whose peer has hung up ends by itself, and soon.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// The peer: sends everything, takes whatever comes, hangs up.
async fn peer(mut io: DuplexStream, bytes: &[u8]) {
    io.write_all(bytes).await.ok();
    io.shutdown().await.ok();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.ok();
}

/// Takes what the peer opens, and echoes what comes.
async fn echo(mut incoming: Incoming) {
    while let Some(mut stream) = incoming.accept().await {
        let mut buffer = [0; 512];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    }
}

async fn server(io: DuplexStream) {
    let (mux, incoming) = Mux::server(io);
    echo(incoming).await;
    mux.closed().await.ok();
}

async fn client(io: DuplexStream) {
    let mux = Mux::client(io);
    if let Ok(mut stream) = mux.open().await {
        stream.write_all(b"hello").await.ok();
        let mut buffer = [0; 512];
        while let Ok(1..) = stream.read(&mut buffer).await {}
    }
    mux.closed().await.ok();
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    if bytes.len() > PIPE {
        return;
    }
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let session = async {
        if choice & 1 == 0 {
            tokio::join!(server(ours), peer(theirs, bytes));
        } else {
            tokio::join!(client(ours), peer(theirs, bytes));
        }
    };
    RUNTIME.with(|runtime| {
        runtime
            .block_on(async { timeout(PATIENCE, session).await.expect("a session outlives its connection") })
    });
});
