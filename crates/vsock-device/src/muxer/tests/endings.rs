//! Connections that end when one least expects it, and what is left of them.

use super::*;
use crate::packet::SHUT_RECEIVE;

/// A request of the guest to the host's port 52.
const REQUEST: Header = Header {
    from_cid: GUEST,
    to_cid: HOST_CID,
    from_port: 5000,
    to_port: 52,
    length: 0,
    kind: STREAM,
    op: Op::REQUEST,
    flags: 0,
    allocated: 1000,
    forwarded: 0,
};

fn listen(stage: &Stage) -> UnixListener {
    UnixListener::bind(stage.dir.path().join("vsock_52")).unwrap()
}

#[test]
fn ports_used_anew_stay_with_the_new_connection_while_the_old_one_is_still_read() {
    let mut stage = Stage::new();
    let listener = listen(&stage);
    stage.muxer.take(&REQUEST, &[]);
    stage.expect(Op::RESPONSE);
    let (mut slow, _) = listener.accept().unwrap();
    let kept = |stage: &Stage| stage.muxer.connections.values().map(Connection::kept).sum::<usize>();
    // More than a socket takes when it wakes.
    while kept(&stage) < BUFFER as usize * 7 / 10 {
        stage.data(&REQUEST, &[9; 64 << 10]);
    }
    stage.muxer.take(&Header { op: Op::RST, ..REQUEST }, &[]);
    stage.muxer.take(&REQUEST, &[]);
    stage.expect(Op::RESPONSE);
    // The old one wakes, and has more to write than its socket takes.
    let mut piece = vec![0; 100_000];
    let before = kept(&stage);
    while kept(&stage) == before {
        assert_ne!(slow.read(&mut piece).unwrap(), 0);
        stage.turn();
    }
    assert_eq!(stage.muxer.connections.len(), 2, "the old one is still there");
    let (mut new, _) = listener.accept().unwrap();
    stage.data(&REQUEST, b"new");
    new.set_nonblocking(true).unwrap();
    assert_eq!(new.read(&mut piece).unwrap(), 3);
}

#[test]
fn a_request_for_what_is_connected_ends_both() {
    let mut stage = Stage::new();
    let listener = listen(&stage);
    stage.muxer.take(&REQUEST, &[]);
    stage.expect(Op::RESPONSE);
    let (mut program, _) = listener.accept().unwrap();
    stage.muxer.take(&REQUEST, &[]);
    stage.expect(Op::RST);
    assert_eq!(program.read(&mut [0; 1]).unwrap(), 0);
    assert!(stage.muxer.connections.is_empty() && stage.muxer.tokens.is_empty());
}

#[test]
fn a_guest_that_takes_nothing_makes_no_line_of_connections_that_are_gone() {
    let mut stage = Stage::new();
    let listener = listen(&stage);
    for _ in 0..100 {
        stage.muxer.take(&REQUEST, &[]);
        stage.muxer.take(&Header { op: Op::RST, ..REQUEST }, &[]);
        drop(listener.accept().unwrap());
    }
    assert!(stage.muxer.line.is_empty());
    stage.silent();
}

#[test]
fn a_connection_that_the_guest_gave_up_is_not_answered() {
    let mut stage = Stage::new();
    let listener = listen(&stage);
    stage.muxer.take(&REQUEST, &[]);
    while stage.muxer.connections.values().map(Connection::kept).sum::<usize>() == 0 {
        stage.data(&REQUEST, &[9; 64 << 10]);
    }
    stage.muxer.take(&Header { op: Op::RST, ..REQUEST }, &[]);
    stage.silent();
    drop(listener);
}

#[test]
fn a_dial_that_is_given_up_leaves_nothing() {
    // Before the guest was asked: it never is.
    let mut stage = Stage::new();
    let mut client = UnixStream::connect(stage.dir.path().join("vsock")).unwrap();
    client.write_all(b"CONNECT 7\n").unwrap();
    stage.turn();
    assert_eq!(stage.muxer.tokens.len(), 1);
    drop(client);
    stage.silent();
    assert!(stage.muxer.connections.is_empty() && stage.muxer.tokens.is_empty());

    // Before it has answered.
    let mut client = UnixStream::connect(stage.dir.path().join("vsock")).unwrap();
    client.write_all(b"CONNECT 7\n").unwrap();
    stage.expect(Op::REQUEST);
    drop(client);
    stage.expect(Op::RST);
    assert!(stage.muxer.connections.is_empty() && stage.muxer.tokens.is_empty());
}

#[test]
fn a_full_guest_is_asked_for_room_once() {
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    let full = Header { op: Op::CREDIT_UPDATE, allocated: 3, ..peer };
    stage.muxer.take(&full, &[]);
    client.write_all(b"abcdef").unwrap();
    assert_eq!(stage.expect(Op::RW).1, b"abc");
    stage.expect(Op::CREDIT_REQUEST);
    stage.muxer.take(&full, &[]);
    stage.silent();
    stage.muxer.take(&Header { allocated: 100, forwarded: 3, ..full }, &[]);
    assert_eq!(stage.expect(Op::RW).1, b"def");
    stage.silent();
}

#[test]
fn a_guest_that_listens_no_more_does_not_stop_the_program() {
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    stage.muxer.take(&Header { op: Op::SHUTDOWN, flags: SHUT_RECEIVE, ..peer }, &[]);
    assert_eq!(client.write(b"nobody hears").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(stage.expect(Op::SHUTDOWN).0.flags, SHUT_SEND);
    // It still speaks, until the program is gone.
    stage.data(&peer, b"heard");
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 5);
    drop(client);
    assert_eq!(stage.expect(Op::SHUTDOWN).0.flags, SHUT_BOTH);
    stage.silent();
}

#[test]
fn there_are_fewer_connections_than_descriptors() {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let stage = Stage::new();
    assert!(stage.muxer.most <= CONNECTIONS && most.is_none_or(|most| (stage.muxer.most as u64) < most));
    let mut stage = stage;
    stage.muxer.most = 1;
    let (_one, _) = stage.dialled();
    let mut two = UnixStream::connect(stage.dir.path().join("vsock")).unwrap();
    stage.turn();
    assert_eq!(two.read(&mut [0; 1]).unwrap(), 0);
    let _listener = listen(&stage);
    stage.muxer.take(&REQUEST, &[]);
    stage.expect(Op::RST);
}
