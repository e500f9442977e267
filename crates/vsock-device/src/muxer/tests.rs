#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
};

use rustix::event::epoll::{CreateFlags, Event};

use super::*;
use crate::{
    connection::BUFFER,
    packet::{SHUT_BOTH, SHUT_SEND},
};

mod endings;

const GUEST: u64 = 3;
const ROOM: usize = 4096;

/// A device without rings: packets go to and come from the test.
struct Stage {
    dir: tempfile::TempDir,
    listener: UnixListener,
    epoll: Arc<OwnedFd>,
    muxer: Muxer,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("vsock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC).unwrap());
        let muxer = Muxer::new(GUEST, dir.path().join("vsock"), Arc::clone(&epoll));
        Self { dir, listener, epoll, muxer }
    }

    /// Lets the muxer see what its sockets have.
    fn turn(&mut self) {
        self.muxer.accept(&self.listener);
        let mut events: Vec<Event> = Vec::with_capacity(64);
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now)).unwrap();
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            self.muxer.awake(data.u64(), flags);
        }
    }

    fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        self.turn();
        let mut payload = Vec::new();
        let header = self.muxer.next(ROOM, &mut payload)?;
        assert_eq!(header.length as usize, payload.len());
        Some((header, payload))
    }

    fn expect(&mut self, op: Op) -> (Header, Vec<u8>) {
        let (header, payload) = self.next().unwrap();
        assert_eq!(header.op, op, "{header:?}");
        (header, payload)
    }

    fn silent(&mut self) {
        assert_eq!(self.next(), None);
    }

    /// A host program, connected to the guest's port 1024, and what the guest sends on that connection.
    fn dialled(&mut self) -> (UnixStream, Header) {
        let mut client = UnixStream::connect(self.dir.path().join("vsock")).unwrap();
        client.write_all(b"CONNECT 1024\n").unwrap();
        let (request, _) = self.expect(Op::REQUEST);
        assert_eq!((request.to_port, request.to_cid, request.kind), (1024, GUEST, STREAM));
        let answer = Header { op: Op::RESPONSE, allocated: 64 << 10, ..request.refusal() };
        self.muxer.take(&answer, &[]);
        let expected = format!("OK {}\n", request.from_port);
        let mut line = vec![0; expected.len()];
        client.read_exact(&mut line).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        (client, answer)
    }

    fn data(&mut self, like: &Header, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        self.muxer.take(&Header { op: Op::RW, length, ..*like }, data);
    }
}

#[test]
fn headers_are_44_bytes_in_the_order_of_the_specification() {
    let header = Header {
        from_cid: 1,
        to_cid: 2,
        from_port: 3,
        to_port: 4,
        length: 5,
        kind: 6,
        op: Op(7),
        flags: 8,
        allocated: 9,
        forwarded: 0x0a0b_0c0d,
    };
    let bytes = header.encode();
    let places = [(0, 1), (8, 2), (16, 3), (20, 4), (24, 5), (28, 6), (30, 7), (32, 8), (36, 9)];
    assert!(places.iter().all(|&(at, value)| bytes[at] == value));
    assert_eq!(bytes[40..], [0x0d, 0x0c, 0x0b, 0x0a]);
    assert_eq!(Header::parse(&bytes), header);
}

#[test]
fn a_host_program_dials_speaks_and_listens() {
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    client.write_all(b"question").unwrap();
    assert_eq!(stage.expect(Op::RW).1, b"question");
    stage.data(&peer, b"answer");
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    stage.silent();
}

#[test]
fn a_dial_before_the_guest_is_there_waits() {
    let mut stage = Stage::new();
    let client = UnixStream::connect(stage.dir.path().join("vsock")).unwrap();
    (&client).write_all(b"CONN").unwrap();
    stage.silent();
    (&client).write_all(b"ECT 7\nearly").unwrap();
    let (request, _) = stage.expect(Op::REQUEST);
    assert_eq!(request.to_port, 7);
    // Nothing follows it before the guest has answered.
    stage.silent();
    stage.muxer.take(&Header { op: Op::RESPONSE, allocated: 100, ..request.refusal() }, &[]);
    assert_eq!(stage.expect(Op::RW).1, b"early");
}

#[test]
fn a_guest_that_refuses_ends_the_dial() {
    let mut stage = Stage::new();
    let mut client = UnixStream::connect(stage.dir.path().join("vsock")).unwrap();
    client.write_all(b"CONNECT 9\n").unwrap();
    let (request, _) = stage.expect(Op::REQUEST);
    stage.muxer.take(&request.refusal(), &[]);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    stage.silent();
    assert!(stage.muxer.connections.is_empty() && stage.muxer.tokens.is_empty());
}

#[test]
fn greetings_that_are_none_end_the_connection() {
    for greeting in
        ["GET / HTTP/1.1\r\n", "CONNECT\n", "CONNECT x\n", "CONNECT 4294967296\n", &"C".repeat(40)]
    {
        let mut stage = Stage::new();
        let mut client = UnixStream::connect(stage.dir.path().join("vsock")).unwrap();
        client.write_all(greeting.as_bytes()).unwrap();
        stage.silent();
        assert!(stage.muxer.connections.is_empty(), "{greeting:?}");
    }
}

#[test]
fn the_guest_dials_a_program_of_the_host_and_nothing_else() {
    let mut stage = Stage::new();
    let listener = UnixListener::bind(stage.dir.path().join("vsock_52")).unwrap();
    let request = Header {
        from_cid: GUEST,
        to_cid: HOST_CID,
        from_port: 5000,
        to_port: 52,
        kind: STREAM,
        op: Op::REQUEST,
        allocated: 1000,
        ..Header::default()
    };
    stage.muxer.take(&request, &[]);
    stage.expect(Op::RESPONSE);
    stage.data(&request, b"ready\n");
    let (mut program, _) = listener.accept().unwrap();
    let mut said = [0; 6];
    program.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"ready\n");

    // Nobody is there; another guest; another kind; a request for what is connected.
    for wrong in [
        Header { to_port: 53, ..request },
        Header { from_cid: 4, ..request },
        Header { to_cid: 1, ..request },
        Header { kind: 2, ..request },
        request,
    ] {
        stage.muxer.take(&wrong, &[]);
        let (refusal, _) = stage.expect(Op::RST);
        assert_eq!((refusal.from_port, refusal.to_port), (wrong.to_port, wrong.from_port));
        assert_eq!(refusal.kind, wrong.kind);
    }
    // A refusal is not answered: two sides would go on forever.
    stage.muxer.take(&Header { op: Op::RST, to_port: 99, ..request }, &[]);
    stage.silent();
}

#[test]
fn never_more_is_sent_than_the_guest_has_room_for() {
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    let data: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let writer = {
        let data = data.clone();
        std::thread::spawn(move || client.write_all(&data).map(|()| client))
    };
    let (mut got, mut forwarded) = (Vec::new(), 0_u32);
    while got.len() < data.len() {
        match stage.next() {
            Some((Header { op: Op::RW, .. }, payload)) => got.extend(payload),
            Some((header, _)) => {
                // It has used up the room and asks for more.
                assert_eq!(header.op, Op::CREDIT_REQUEST);
                assert_eq!(got.len(), forwarded as usize + (64 << 10));
                stage.silent();
                forwarded = u32::try_from(got.len()).unwrap();
                stage.muxer.take(&Header { op: Op::CREDIT_UPDATE, forwarded, ..peer }, &[]);
            }
            None => std::thread::yield_now(),
        }
        assert!(got.len() - forwarded as usize <= 64 << 10);
    }
    assert!(got == data);
    drop(writer.join().unwrap().unwrap());
}

#[test]
fn a_guest_that_sends_more_than_it_may_loses_the_connection() {
    let mut stage = Stage::new();
    let (client, peer) = stage.dialled();
    let piece = vec![7; 64 << 10];
    let mut pieces = 0;
    // The client reads nothing: what its socket takes, and BUFFER more.
    let reset = loop {
        stage.data(&peer, &piece);
        pieces += 1;
        assert!(pieces < 64, "it takes all");
        if let Some((header, _)) = stage.next() {
            if header.op == Op::RST {
                break header;
            }
            assert_eq!(header.op, Op::CREDIT_UPDATE);
        }
    };
    assert_eq!(reset.to_port, 1024);
    let kept: usize = stage.muxer.connections.values().map(Connection::kept).sum();
    assert!(kept <= BUFFER as usize);
    drop(client);
    stage.silent();
    assert!(stage.muxer.connections.is_empty());
}

#[test]
fn a_slow_program_gets_all_and_the_guest_is_told_of_the_room() {
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    client.set_nonblocking(true).unwrap();
    let data: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 253) as u8).collect();
    let (mut got, mut sent, mut allocated, mut forwarded) = (Vec::<u8>::new(), 0, BUFFER as usize, 0_usize);
    while got.len() < data.len() {
        let window = (forwarded + allocated - sent).min(64 << 10).min(data.len() - sent);
        stage.data(&peer, &data[sent..sent + window]);
        sent += window;
        let mut piece = vec![0; 50_000];
        match client.read(&mut piece) {
            Ok(count) => got.extend(&piece[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        while let Some((header, _)) = stage.next() {
            assert_eq!(header.op, Op::CREDIT_UPDATE);
            (allocated, forwarded) = (header.allocated as usize, header.forwarded as usize);
        }
    }
    assert!(got == data);
}

#[test]
fn each_side_may_end_before_the_other() {
    // The host program says all it has to say, and still hears the answer.
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    client.write_all(b"last words").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stage.expect(Op::RW).1, b"last words");
    assert_eq!(stage.expect(Op::SHUTDOWN).0.flags, SHUT_SEND);
    stage.data(&peer, b"answer");
    stage.muxer.take(&Header { op: Op::SHUTDOWN, flags: SHUT_BOTH, ..peer }, &[]);
    stage.expect(Op::RST);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert!(stage.muxer.connections.is_empty());

    // The guest ends its side first.
    let (mut client, peer) = stage.dialled();
    stage.data(&peer, b"that is all");
    stage.muxer.take(&Header { op: Op::SHUTDOWN, flags: SHUT_SEND, ..peer }, &[]);
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "that is all");
    client.write_all(b"thanks").unwrap();
    assert_eq!(stage.expect(Op::RW).1, b"thanks");

    // The host program is gone.
    drop(client);
    assert_eq!(stage.expect(Op::SHUTDOWN).0.flags, SHUT_BOTH);
    stage.silent();
    stage.muxer.take(&Header { op: Op::RST, ..peer }, &[]);
    stage.silent();
    assert!(stage.muxer.connections.is_empty() && stage.muxer.tokens.is_empty());
}

#[test]
fn what_the_guest_said_last_reaches_a_slow_program_after_the_guest_has_gone() {
    let mut stage = Stage::new();
    let (mut client, peer) = stage.dialled();
    let piece = vec![9; 64 << 10];
    let mut sent = 0;
    while stage.muxer.connections.values().map(Connection::kept).sum::<usize>() == 0 {
        stage.data(&peer, &piece);
        sent += piece.len();
    }
    stage.muxer.take(&Header { op: Op::SHUTDOWN, flags: SHUT_BOTH, ..peer }, &[]);
    // Its ports are free again, though the program has not read.
    assert!(stage.muxer.tokens.is_empty());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).map(|_| all.len())
    });
    while !stage.muxer.connections.is_empty() {
        stage.turn();
        std::thread::yield_now();
    }
    assert_eq!(reader.join().unwrap().unwrap(), sent);
}

#[test]
fn refusals_and_connections_are_bounded() {
    let mut stage = Stage::new();
    let request = Header {
        from_cid: GUEST,
        to_cid: HOST_CID,
        to_port: 1,
        kind: STREAM,
        op: Op::REQUEST,
        ..Header::default()
    };
    for from_port in 0..10_000 {
        stage.muxer.take(&Header { from_port, ..request }, &[]);
    }
    let mut refusals = 0;
    while stage.next().is_some() {
        refusals += 1;
    }
    assert_eq!(refusals, REFUSALS);
}

#[test]
fn connections_take_turns() {
    let mut stage = Stage::new();
    let (mut loud, loud_peer) = stage.dialled();
    let (mut quiet, quiet_peer) = stage.dialled();
    assert_ne!(loud_peer.to_port, quiet_peer.to_port);
    loud.write_all(&vec![1; 60_000]).unwrap();
    assert_eq!(stage.expect(Op::RW).0.from_port, loud_peer.to_port);
    quiet.write_all(b"me too").unwrap();
    let turns: Vec<u32> = (0..3).map(|_| stage.expect(Op::RW).0.from_port).collect();
    assert!(turns.contains(&quiet_peer.to_port), "{turns:?}");
}
