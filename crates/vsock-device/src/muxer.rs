//! All connections of one guest: which packet belongs to which, whose turn it is, and who may connect.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::Arc,
};

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::{
    connection::{Connection, Over, Ports, unblock},
    packet::{HOST_CID, Header, Op, STREAM},
};

/// The most connections of one guest, those that its host programs open included; fewer where this process may not
/// have as many descriptors, so that none is wanting to let a host program in.
const CONNECTIONS: usize = 4096;
/// Descriptors that are not a connection's: the VMM's, and what the process had before.
const OTHER_DESCRIPTORS: u64 = 64;
/// The most refusals that wait for the guest to take them; further ones are not sent.
const REFUSALS: usize = 256;
/// The first port on the host's side of connections that the host opens.
const FIRST_PORT: u32 = 1 << 30;
/// The first token of a connection in the epoll set; those below are the event loop's.
pub(crate) const FIRST_TOKEN: u64 = 16;

#[derive(Debug)]
pub(crate) struct Muxer {
    guest_cid: u64,
    /// Connections of the guest to the host's port `P` go to the socket `<base>_P`.
    base: PathBuf,
    epoll: Arc<OwnedFd>,
    most: usize,
    connections: HashMap<u64, Connection>,
    tokens: HashMap<Ports, u64>,
    /// Those with something for the guest, each once; the first is next.
    line: VecDeque<u64>,
    refusals: VecDeque<Header>,
    next_token: u64,
    next_port: u32,
}

impl Muxer {
    pub(crate) fn new(guest_cid: u64, base: PathBuf, epoll: Arc<OwnedFd>) -> Self {
        Self {
            guest_cid,
            base,
            epoll,
            most: most_connections(),
            connections: HashMap::new(),
            tokens: HashMap::new(),
            line: VecDeque::new(),
            refusals: VecDeque::new(),
            next_token: FIRST_TOKEN,
            next_port: FIRST_PORT,
        }
    }

    /// Takes all host programs that wait to be let in. One too many is sent away.
    pub(crate) fn accept(&mut self, listener: &UnixListener) {
        // Errors are the host's (no descriptors left): the next event tries again.
        while let Ok((stream, _)) = listener.accept() {
            if self.connections.len() >= self.most {
                tracing::warn!(limit = self.most, "too many connections");
                continue;
            }
            let Ok(stream) = unblock(stream) else { continue };
            if let Ok(token) = self.keep(Connection::accepted(stream, self.guest_cid)) {
                // It may have greeted before it was watched.
                self.awake(token, EventFlags::IN);
            }
        }
    }

    /// A connection's socket has something.
    pub(crate) fn awake(&mut self, token: u64, events: EventFlags) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let readable = events.intersects(EventFlags::IN | EventFlags::RDHUP);
        let gone = events.intersects(EventFlags::HUP | EventFlags::ERR);
        let mut outcome = connection.awake(readable, gone);
        if outcome.is_ok() {
            match connection.greeting() {
                Ok(Some(guest)) => {
                    let ports = Ports { host: self.unused_port(guest), guest };
                    self.tokens.insert(ports, token);
                    if let Some(connection) = self.connections.get_mut(&token) {
                        connection.ask(ports);
                    }
                }
                Ok(None) => {}
                Err(over) => outcome = Err(over),
            }
        }
        self.settle(token, outcome);
    }

    /// Takes a packet from the guest.
    pub(crate) fn take(&mut self, header: &Header, payload: &[u8]) {
        if header.to_cid != HOST_CID || header.from_cid != self.guest_cid || header.kind != STREAM {
            return self.refuse(header);
        }
        let ports = Ports { host: header.to_port, guest: header.from_port };
        match self.tokens.get(&ports).copied() {
            Some(token) => {
                let Some(connection) = self.connections.get_mut(&token) else { return };
                let outcome = connection.take(header, payload);
                self.settle(token, outcome);
            }
            None if header.op == Op::REQUEST => match self.connect(ports, header) {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(port = ports.host, %error, "nobody is there for the guest");
                    self.refuse(header);
                }
            },
            None => self.refuse(header),
        }
    }

    /// The guest wants to speak to a program of the host.
    fn connect(&mut self, ports: Ports, request: &Header) -> io::Result<()> {
        if self.connections.len() >= self.most {
            return Err(io::Error::other("too many connections"));
        }
        let mut path = self.base.clone().into_os_string();
        path.push(format!("_{}", ports.host));
        // Blocks only while a program's backlog is full, and then fails.
        let stream = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::connect(&stream, &rustix::net::SocketAddrUnix::new(path.as_os_str())?)?;
        let connection = Connection::requested(UnixStream::from(stream), self.guest_cid, ports, request);
        let token = self.keep(connection)?;
        self.tokens.insert(ports, token);
        self.settle(token, Ok(()));
        Ok(())
    }

    fn keep(&mut self, connection: Connection) -> io::Result<u64> {
        let token = self.next_token;
        self.next_token += 1;
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&*self.epoll, connection.as_fd(), EventData::new_u64(token), all)?;
        self.connections.insert(token, connection);
        Ok(token)
    }

    fn unused_port(&mut self, guest: u32) -> u32 {
        loop {
            let host = self.next_port;
            self.next_port = host.checked_add(1).filter(|port| *port < u32::MAX).unwrap_or(FIRST_PORT);
            // There are far fewer connections than ports.
            if !self.tokens.contains_key(&Ports { host, guest }) {
                return host;
            }
        }
    }

    /// After a connection was touched: it gets in line, or goes.
    fn settle(&mut self, token: u64, outcome: Result<(), Over>) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match outcome {
            Ok(()) => {
                if connection.stage == crate::connection::Stage::Flushing {
                    let ports = connection.ports;
                    self.free_ports(ports, token);
                } else if !connection.in_line && connection.has_news() {
                    connection.in_line = true;
                    self.line.push_back(token);
                }
            }
            Err(Over::Silently) => self.drop_connection(token),
            Err(Over::Reset) => {
                let ports = connection.ports;
                let reset = Header {
                    from_cid: self.guest_cid,
                    to_cid: HOST_CID,
                    from_port: ports.guest,
                    to_port: ports.host,
                    kind: STREAM,
                    ..Header::default()
                };
                let finished = connection.finish();
                self.free_ports(ports, token);
                self.refuse(&reset);
                if finished.is_err() {
                    self.drop_connection(token);
                }
            }
        }
    }

    fn drop_connection(&mut self, token: u64) {
        let Some(connection) = self.connections.remove(&token) else { return };
        self.free_ports(connection.ports, token);
        if connection.in_line {
            // A guest that takes nothing would make the line grow with each connection that comes and goes.
            self.line.retain(|&other| other != token);
        }
    }

    /// The guest may use a connection's ports anew, if it has not done so already.
    fn free_ports(&mut self, ports: Ports, token: u64) {
        if self.tokens.get(&ports) == Some(&token) {
            self.tokens.remove(&ports);
        }
    }

    fn refuse(&mut self, header: &Header) {
        if header.op != Op::RST && self.refusals.len() < REFUSALS {
            self.refusals.push_back(header.refusal());
        }
    }

    /// Whether there may be a packet for the guest.
    pub(crate) fn has_news(&self) -> bool {
        !self.refusals.is_empty() || !self.line.is_empty()
    }

    /// The next packet for the guest, with at most `room` bytes of data, which are put into `payload`.
    pub(crate) fn next(&mut self, room: usize, payload: &mut Vec<u8>) -> Option<Header> {
        payload.clear();
        if let Some(refusal) = self.refusals.pop_front() {
            return Some(refusal);
        }
        // Each turn says something or takes a connection out of the line.
        while let Some(token) = self.line.pop_front() {
            let Some(connection) = self.connections.get_mut(&token) else { continue };
            connection.in_line = false;
            let header = connection.next(room, payload);
            self.settle(token, Ok(()));
            if header.is_some() {
                return header;
            }
        }
        None
    }
}

/// How many connections there may be.
fn most_connections() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let room = descriptors.map_or(u64::MAX, |most| most.saturating_sub(OTHER_DESCRIPTORS));
    usize::try_from(room).map_or(CONNECTIONS, |room| room.min(CONNECTIONS))
}

#[cfg(test)]
mod tests;
