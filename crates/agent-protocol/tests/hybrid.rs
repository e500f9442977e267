//! The `CONNECT` exchange of hybrid vsock, against a scripted listener.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use virtcontainers_agent_protocol::limits;
use virtcontainers_agent_protocol::transport::hybrid::{HandshakeError, handshake};

const SOON: Duration = Duration::from_secs(20);

/// Reads the request, and answers with `script` (closing the connection if `close`).
async fn listener(mut io: DuplexStream, script: &[u8], close: bool) -> (String, Option<DuplexStream>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\n") {
        request.push(io.read_u8().await.expect("a request"));
    }
    io.write_all(script).await.expect("room for the script");
    (String::from_utf8(request).expect("text"), (!close).then_some(io))
}

async fn against(script: &[u8], close: bool) -> (Result<(), HandshakeError>, DuplexStream, String) {
    let (mut ours, theirs) = duplex(256);
    let (result, (request, kept)) =
        tokio::join!(handshake(&mut ours, 1024, SOON), listener(theirs, script, close));
    drop(kept);
    (result, ours, request)
}

#[tokio::test]
async fn granted_and_the_following_bytes_are_left_in_the_stream() {
    let (result, mut stream, request) = against(b"OK 1073741824\nGUEST SPEAKS", false).await;
    result.expect("granted");
    assert_eq!(request, "CONNECT 1024\n");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("readable");
    assert_eq!(rest, "GUEST SPEAKS");
}

#[tokio::test]
async fn closing_before_ok_means_not_yet() {
    for script in [b"".as_slice(), b"OK 10"] {
        let (result, ..) = against(script, true).await;
        let error = result.expect_err("closed");
        assert!(matches!(error, HandshakeError::ClosedBeforeOk { port: 1024 }), "{error:?}");
        assert!(error.is_not_ready());
    }
}

#[tokio::test]
async fn a_listener_that_hangs_up_at_once_means_not_yet() {
    let (mut ours, theirs) = duplex(256);
    drop(theirs);
    let error = handshake(&mut ours, 1024, SOON).await.expect_err("nobody there");
    assert!(
        matches!(&error, HandshakeError::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe),
        "{error:?}"
    );
    assert!(error.is_not_ready());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (result, mut stream, _) = against(&[b'9'; 200], false).await;
    let error = result.expect_err("too long");
    assert!(matches!(&error, HandshakeError::BadReply { reply, .. } if reply.len() == limits::HYBRID_REPLY));
    assert!(!error.is_not_ready());
    let mut unread = Vec::new();
    stream.read_to_end(&mut unread).await.expect("readable");
    assert_eq!(unread.len(), 200 - limits::HYBRID_REPLY, "not one byte more was read");
}

#[tokio::test]
async fn other_answers_are_refused() {
    for script in
        [b"\n".as_slice(), b"OK \n", b"OK\n", b"OK 12x\n", b"ok 12\n", b"HTTP/1.1 400\n", b"\xff\xfe\n"]
    {
        let (result, ..) = against(script, false).await;
        assert!(matches!(result, Err(HandshakeError::BadReply { .. })), "{script:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_listener_that_never_answers_is_given_up() {
    let patience = Duration::from_millis(20);
    let (mut ours, theirs) = duplex(256);
    let error = handshake(&mut ours, 7, patience).await.expect_err("no answer");
    drop(theirs);
    assert!(matches!(error, HandshakeError::Timeout { port: 7, waited } if waited == patience), "{error:?}");
    assert!(!error.is_not_ready());
}
