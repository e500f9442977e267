//! yamux sessions over in-memory connections, also against a peer that misbehaves.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::io;
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use virtcontainers_agent_protocol::limits;
use virtcontainers_agent_protocol::transport::{Incoming, Mux, MuxError};

const SOON: Duration = Duration::from_secs(20);

/// Flags and types of a yamux frame header (version 0).
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;
const SYN: u16 = 1;
const RST: u16 = 8;

fn session() -> (Mux, Mux, Incoming) {
    let (host, guest) = duplex(1 << 16);
    let (server, incoming) = Mux::server(guest);
    (Mux::client(host), server, incoming)
}

fn frame(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// Type, flags, stream and length of the next frame that is no ping.
async fn read_header(io: &mut DuplexStream) -> (u8, u16, u32, u32) {
    loop {
        let mut header = [0; 12];
        timeout(SOON, io.read_exact(&mut header)).await.expect("an answer").expect("a frame");
        let number =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[1] != PING {
            return (header[1], u16::from_be_bytes([header[2], header[3]]), number(4), number(8));
        }
    }
}

#[tokio::test]
async fn streams_are_independent_and_end_with_the_session() {
    let (client, server, mut incoming) = session();
    let (mut one, mut two) = (client.open().await.expect("one"), client.open().await.expect("two"));
    two.write_all(b"second").await.expect("written");
    let mut other_two = incoming.accept().await.expect("two arrives first: one has said nothing yet");
    let mut heard = [0; 6];
    other_two.read_exact(&mut heard).await.expect("read");
    assert_eq!(&heard, b"second");

    one.write_all(b"first").await.expect("written");
    let mut other_one = incoming.next().await.expect("one").expect("a stream");
    one.shutdown().await.expect("half closed");
    let mut all = String::new();
    other_one.read_to_string(&mut all).await.expect("read to the end");
    assert_eq!(all, "first");
    other_one.write_all(b"answer").await.expect("the other direction is open");
    other_one.shutdown().await.expect("closed");
    one.read_to_string(&mut all).await.expect("read to the end");
    assert_eq!(all, "firstanswer");

    client.close().await.expect("orderly");
    timeout(SOON, server.closed()).await.expect("in time").expect("orderly");
    assert!(incoming.accept().await.is_none());
    match two.read(&mut heard).await {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    let error = two.write_all(b"late").await.expect_err("nobody there");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(matches!(server.open().await, Err(MuxError::Closed)));
}

#[tokio::test]
async fn more_than_a_window_of_data_passes() {
    let (client, _server, mut incoming) = session();
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut out = client.open().await.expect("opened");
    let send = async {
        out.write_all(&data).await.expect("written");
        out.shutdown().await.expect("closed");
    };
    let receive = async {
        let mut received = Vec::new();
        let mut stream = incoming.accept().await.expect("a stream");
        stream.read_to_end(&mut received).await.expect("read");
        received
    };
    let ((), received) = timeout(SOON, async { tokio::join!(send, receive) }).await.expect("in time");
    assert!(received == data);
}

#[tokio::test]
async fn dropping_the_session_closes_the_connection() {
    let (client, server, _incoming) = session();
    let mut stream = server.open().await.expect("opened");
    drop(client);
    timeout(SOON, server.closed()).await.expect("in time").ok();
    let mut byte = [0];
    assert!(!matches!(stream.read(&mut byte).await, Ok(1..)), "no data from a dead session");
    let (again, mut incoming) = Mux::server(duplex(64).0);
    timeout(SOON, again.closed()).await.expect("a peer that has gone ends the session").ok();
    assert!(incoming.accept().await.is_none());
}

#[tokio::test]
async fn opening_is_bounded_and_recovers() {
    let (client, _server, _incoming) = session();
    let mut streams = Vec::new();
    for _ in 0..limits::MUX_STREAMS {
        streams.push(client.open().await.expect("within the limit"));
    }
    assert!(matches!(client.open().await, Err(MuxError::TooManyStreams { limit: limits::MUX_STREAMS })));
    streams.clear();
    for _ in 0..10 * limits::MUX_STREAMS {
        drop(client.open().await.expect("dropped streams make room"));
    }
}

#[tokio::test]
async fn garbage_ends_the_session_with_an_error() {
    let (mut peer, ours) = duplex(1 << 16);
    let (mux, mut incoming) = Mux::server(ours);
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    let end = timeout(SOON, mux.closed()).await.expect("in time");
    assert!(matches!(end, Err(MuxError::Lost { .. })), "{end:?}");
    assert!(incoming.accept().await.is_none());
    assert!(matches!(mux.open().await, Err(MuxError::Lost { .. })));
}

#[tokio::test]
async fn streams_that_nobody_accepts_are_reset() {
    let (mut peer, ours) = duplex(1 << 16);
    let (_mux, mut incoming) = Mux::server(ours);
    let last = u32::try_from(limits::MUX_BACKLOG).expect("small") * 2 + 1;
    for id in (1..=last).step_by(2) {
        peer.write_all(&frame(WINDOW_UPDATE, SYN, id, 0)).await.expect("written");
    }
    let (_, flags, stream, _) = read_header(&mut peer).await;
    assert_eq!((flags & RST, stream), (RST, last), "one too many");
    for _ in 0..limits::MUX_BACKLOG {
        timeout(SOON, incoming.accept()).await.expect("in time").expect("the others wait");
    }
}

#[tokio::test]
async fn a_peer_that_opens_too_many_streams_is_sent_away() {
    let (mut peer, ours) = duplex(1 << 16);
    let (_mux, mut incoming) = Mux::server(ours);
    let mut held = Vec::new();
    let limit = 2 * limits::MUX_STREAMS;
    for n in 0..u32::try_from(limit).expect("small") {
        peer.write_all(&frame(WINDOW_UPDATE, SYN, 2 * n + 1, 0)).await.expect("written");
        held.push(timeout(SOON, incoming.accept()).await.expect("in time").expect("accepted"));
    }
    let one_too_many = 2 * u32::try_from(limit).expect("small") + 1;
    peer.write_all(&frame(WINDOW_UPDATE, SYN, one_too_many, 0)).await.expect("written");
    let (kind, _, _, code) = read_header(&mut peer).await;
    assert_eq!((kind, code), (GO_AWAY, 1), "go away: protocol error");
    assert_eq!(held.len(), limit);
}

#[tokio::test]
async fn a_client_refuses_streams_of_its_peer() {
    let (mut peer, ours) = duplex(1 << 16);
    let mux = Mux::client(ours);
    peer.write_all(&frame(WINDOW_UPDATE, SYN, 2, 0)).await.expect("written");
    let (_, flags, stream, _) = read_header(&mut peer).await;
    assert_eq!((flags & RST, stream), (RST, 2));
    drop(mux.open().await.expect("our own streams are not affected"));
}
