//! One connection: a Unix socket on the host's side, a pair of ports on the guest's.
//!
//! # States
//! [`Stage::Greeting`] (a host program has connected and not yet said to which port) → [`Stage::Asked`] (the guest was
//! asked, or is about to be) → [`Stage::Open`] → [`Stage::Flushing`] (the guest is done with it; what it sent last is
//! still on its way to a slow host program). A connection that the guest opens begins as `Open`.
//!
//! # Invariants
//! - Never more is kept for the host program than [`BUFFER`]; a guest that sends more than it was told there is room
//!   for loses the connection.
//! - Never more is sent to the guest than it said it has room for, so what a slow guest does not take stays in the
//!   socket, and the host program's write blocks.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read as _, Write as _},
    net::Shutdown,
    num::Wrapping,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use crate::packet::{HOST_CID, Header, Op, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND, STREAM};

/// How much is kept for a host program that does not read, in bytes.
pub(crate) const BUFFER: u32 = 256 << 10;
/// How much is read from a socket at once, in bytes.
const FETCH: usize = 64 << 10;
/// The longest greeting: `CONNECT 4294967295` and the end of the line.
const GREETING: usize = 32;

/// The ports of a connection. It is unique while the guest knows of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ports {
    pub(crate) host: u32,
    pub(crate) guest: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Greeting(Vec<u8>),
    Asked,
    Open,
    Flushing,
}

/// The connection is over, for whom it may concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The guest does not know of it, or not any more.
    Silently,
    /// The guest is to be told.
    Reset,
}

/// What has to be said to the guest beside data.
#[derive(Debug, Default)]
struct Owed {
    request: bool,
    response: bool,
    credit_update: bool,
    credit_request: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    guest_cid: u64,
    pub(crate) ports: Ports,
    pub(crate) stage: Stage,
    owed: Owed,
    /// The guest's room, as it said last: all of it, and how much of what it was sent has left it.
    guest_allocated: u32,
    guest_forwarded: Wrapping<u32>,
    /// Bytes sent to the guest.
    sent: Wrapping<u32>,
    /// Bytes from the guest that the host program's socket has taken, and how many of them the guest was told of.
    forwarded: Wrapping<u32>,
    told: Wrapping<u32>,
    /// From the guest, for the socket.
    unsent: VecDeque<u8>,
    /// From the socket, for the guest, from `at` on.
    fetched: Vec<u8>,
    at: usize,
    /// The socket may have more. Cleared when it has not; the edge-triggered watch sets it again.
    readable: bool,
    /// The host program will send no more.
    ended: bool,
    /// The host program is gone.
    gone: bool,
    /// What the guest was told of that, and what it has told.
    told_shut: u32,
    guest_shut: u32,
    /// The guest was asked for room, and has told of none since.
    asked_for_credit: bool,
    /// It is in the muxer's line of those with something for the guest.
    pub(crate) in_line: bool,
}

impl Connection {
    /// A host program's, which is about to greet.
    pub(crate) fn accepted(stream: UnixStream, guest_cid: u64) -> Self {
        Self::new(stream, guest_cid, Ports { host: 0, guest: 0 }, Stage::Greeting(Vec::new()))
    }

    /// The guest's, whose request this answers.
    pub(crate) fn requested(stream: UnixStream, guest_cid: u64, ports: Ports, request: &Header) -> Self {
        let mut connection = Self::new(stream, guest_cid, ports, Stage::Open);
        connection.owed.response = true;
        connection.note_credit(request);
        connection
    }

    fn new(stream: UnixStream, guest_cid: u64, ports: Ports, stage: Stage) -> Self {
        Self {
            stream,
            guest_cid,
            ports,
            stage,
            owed: Owed::default(),
            guest_allocated: 0,
            guest_forwarded: Wrapping(0),
            sent: Wrapping(0),
            forwarded: Wrapping(0),
            told: Wrapping(0),
            unsent: VecDeque::new(),
            fetched: Vec::new(),
            at: 0,
            readable: true,
            ended: false,
            gone: false,
            told_shut: 0,
            guest_shut: 0,
            asked_for_credit: false,
            in_line: false,
        }
    }

    /// The socket has more, or room, or its other end is gone.
    pub(crate) fn awake(&mut self, readable: bool, gone: bool) -> Result<(), Over> {
        self.readable |= readable || gone;
        self.gone |= gone;
        if gone && self.stage == Stage::Asked {
            // Nobody is left to be told the answer.
            return Err(if self.owed.request { Over::Silently } else { Over::Reset });
        }
        self.flush()
    }

    /// Reads the greeting, as far as it has come: the port it names, once.
    pub(crate) fn greeting(&mut self) -> Result<Option<u32>, Over> {
        let Stage::Greeting(line) = &mut self.stage else { return Ok(None) };
        let mut byte = [0];
        while line.len() < GREETING {
            match self.stream.read(&mut byte) {
                Ok(0) => return Err(Over::Silently),
                Ok(_) if byte[0] == b'\n' => return port(line).map(Some).ok_or(Over::Silently),
                Ok(_) => line.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Over::Silently),
            }
        }
        Err(Over::Silently)
    }

    /// Asks the guest for the connection that a greeting has named.
    pub(crate) fn ask(&mut self, ports: Ports) {
        self.ports = ports;
        self.stage = Stage::Asked;
        self.owed.request = true;
    }

    /// Takes a packet from the guest.
    pub(crate) fn take(&mut self, header: &Header, payload: &[u8]) -> Result<(), Over> {
        self.note_credit(header);
        match (&self.stage, header.op) {
            (_, Op::RST) => {
                // What came before it is still delivered.
                self.stage = Stage::Flushing;
                self.finish()
            }
            (Stage::Asked, Op::RESPONSE) => {
                self.stage = Stage::Open;
                let answer = format!("OK {}\n", self.ports.host);
                // It is the first that is written: the socket has room.
                self.stream.write_all(answer.as_bytes()).map_err(|_gone| Over::Reset)
            }
            (Stage::Open, Op::RW) => self.deliver(payload),
            (Stage::Open, Op::SHUTDOWN) => {
                self.guest_shut |= header.flags & SHUT_BOTH;
                if self.guest_shut == SHUT_BOTH {
                    return Err(Over::Reset);
                }
                if self.guest_shut & SHUT_RECEIVE != 0 {
                    self.stop_reading();
                }
                self.flush()
            }
            (Stage::Open, Op::CREDIT_REQUEST) => {
                self.owed.credit_update = true;
                Ok(())
            }
            (Stage::Open | Stage::Asked, Op::CREDIT_UPDATE) => Ok(()),
            _ => Err(Over::Reset),
        }
    }

    fn note_credit(&mut self, header: &Header) {
        self.guest_allocated = header.allocated;
        self.guest_forwarded = Wrapping(header.forwarded);
        // One that is full says so at once. Asked again, both sides would do nothing else; it tells when it has room.
        self.asked_for_credit &= self.credit() == 0;
    }

    /// The guest receives no more: the host program's writes fail, rather than wait for ever.
    fn stop_reading(&mut self) {
        // Not connected any more is as good.
        self.stream.shutdown(Shutdown::Read).ok();
        (self.fetched, self.at, self.ended) = (Vec::new(), 0, true);
    }

    /// How much the guest can take now.
    fn credit(&self) -> usize {
        let in_flight = (self.sent - self.guest_forwarded).0;
        self.guest_allocated.saturating_sub(in_flight) as usize
    }

    /// Data for the host program.
    fn deliver(&mut self, payload: &[u8]) -> Result<(), Over> {
        let mut rest = payload;
        if self.unsent.is_empty() {
            let written = self.write(rest)?;
            rest = &rest[written..];
        }
        if self.unsent.len() + rest.len() > BUFFER as usize {
            return Err(Over::Reset);
        }
        self.unsent.extend(rest);
        Ok(())
    }

    /// Writes what the socket takes. One that nobody reads any more takes all.
    fn write(&mut self, data: &[u8]) -> Result<usize, Over> {
        let mut written = 0;
        while written < data.len() {
            match self.stream.write(&data[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    self.readable = true;
                    written = data.len();
                }
            }
        }
        self.forwarded += u32::try_from(written).unwrap_or(u32::MAX);
        if (self.forwarded - self.told).0 >= BUFFER / 4 {
            self.owed.credit_update = true;
        }
        Ok(written)
    }

    /// Writes what is kept for the host program, as far as its socket takes it.
    fn flush(&mut self) -> Result<(), Over> {
        while !self.unsent.is_empty() {
            let (front, _) = self.unsent.as_slices();
            let front = front.to_vec();
            let written = self.write(&front)?;
            self.unsent.drain(..written);
            if written < front.len() {
                return Ok(());
            }
        }
        if self.stage == Stage::Flushing {
            return Err(Over::Silently);
        }
        if self.guest_shut & SHUT_SEND != 0 {
            // Not connected any more is as good.
            self.stream.shutdown(Shutdown::Write).ok();
        }
        Ok(())
    }

    /// The guest is done with it: what it sent is still delivered.
    pub(crate) fn finish(&mut self) -> Result<(), Over> {
        self.stage = Stage::Flushing;
        self.flush()
    }

    /// Whether there is something to say to the guest.
    pub(crate) fn has_news(&self) -> bool {
        let Owed { request, response, credit_update, credit_request } = self.owed;
        match self.stage {
            Stage::Greeting(_) | Stage::Flushing => false,
            Stage::Asked => request,
            Stage::Open => {
                let data = self.at < self.fetched.len() || (self.readable && !self.ended);
                let sayable = data && (self.credit() > 0 || !self.asked_for_credit);
                response || credit_update || credit_request || sayable || self.shutdown_due() != 0
            }
        }
    }

    /// What the guest has to be told of the host program's end.
    fn shutdown_due(&self) -> u32 {
        if !self.ended || self.at < self.fetched.len() {
            return 0;
        }
        let flags = if self.gone { SHUT_BOTH } else { SHUT_SEND };
        if flags & !self.told_shut == 0 { 0 } else { flags }
    }

    /// The next packet for the guest, with at most `room` bytes of data, which are put into `payload`.
    pub(crate) fn next(&mut self, room: usize, payload: &mut Vec<u8>) -> Option<Header> {
        let op = if self.stage == Stage::Flushing {
            return None;
        } else if std::mem::take(&mut self.owed.request) {
            Op::REQUEST
        } else if std::mem::take(&mut self.owed.response) {
            Op::RESPONSE
        } else if self.stage != Stage::Open {
            return None;
        } else if self.fetch(room, payload) {
            Op::RW
        } else if std::mem::take(&mut self.owed.credit_request) {
            self.asked_for_credit = true;
            Op::CREDIT_REQUEST
        } else if self.shutdown_due() != 0 {
            Op::SHUTDOWN
        } else if self.owed.credit_update {
            Op::CREDIT_UPDATE
        } else {
            return None;
        };
        let flags = if op == Op::SHUTDOWN { self.shutdown_due() } else { 0 };
        self.told_shut |= flags;
        // Every packet tells the room there is.
        self.told = self.forwarded;
        self.owed.credit_update = false;
        Some(Header {
            from_cid: HOST_CID,
            to_cid: self.guest_cid,
            from_port: self.ports.host,
            to_port: self.ports.guest,
            length: u32::try_from(payload.len()).unwrap_or(0),
            kind: STREAM,
            op,
            flags,
            allocated: BUFFER,
            forwarded: self.forwarded.0,
        })
    }

    /// Puts data for the guest into `payload`; `false` when there is none, or no room for it.
    fn fetch(&mut self, room: usize, payload: &mut Vec<u8>) -> bool {
        let credit = self.credit();
        if credit == 0 {
            let wanted = self.at < self.fetched.len() || (self.readable && !self.ended);
            self.owed.credit_request = wanted && !self.asked_for_credit;
            return false;
        }
        if self.at == self.fetched.len() {
            self.refill();
        }
        let count = (self.fetched.len() - self.at).min(room).min(credit);
        payload.extend_from_slice(&self.fetched[self.at..self.at + count]);
        self.at += count;
        self.sent += u32::try_from(count).unwrap_or(u32::MAX);
        count > 0
    }

    /// Reads from the socket.
    fn refill(&mut self) {
        self.at = 0;
        self.fetched.clear();
        if !self.readable || self.ended {
            return;
        }
        self.fetched.resize(FETCH, 0);
        let read = loop {
            match self.stream.read(&mut self.fetched) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let count = read.as_ref().copied().unwrap_or(0);
        self.fetched.truncate(count);
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(_) => (self.ended, self.gone) = (true, true),
        }
        if self.fetched.is_empty() {
            // An idle connection keeps no buffer.
            self.fetched = Vec::new();
        }
    }
}

#[cfg(test)]
impl Connection {
    /// Bytes that are kept for the host program.
    pub(crate) fn kept(&self) -> usize {
        self.unsent.len()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The port of a greeting without its end of line.
fn port(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(line).ok()?.strip_prefix("CONNECT ")?.trim_end_matches('\r').parse().ok()
}

/// A socket that does not block.
pub(crate) fn unblock(stream: UnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    Ok(stream)
}
