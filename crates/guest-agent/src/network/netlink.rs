//! One conversation with the kernel over rtnetlink(7). Requests are answered at once, so nothing here is asynchronous.

use std::{io, net::IpAddr, os::fd::OwnedFd, time::Duration};

use netlink_packet_core::{
    DefaultNla, Emitable as _, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NlaBuffer, NlasIterator,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
    sockopt::{Timeout, set_socket_timeout},
};

/// What the kernel puts into one datagram of a list at most, given no larger buffer.
const DATAGRAM: usize = 8192;

/// Entries of one list.
const MAX_ENTRIES: usize = 16 * 1024;

/// How often a list is asked for that changes while it is told.
const ATTEMPTS: usize = 5;

/// How long the kernel may take. It answers before the request's system call returns; this bounds a defect.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a message's header.
const HEADER: usize = 16;

/// A request: its kind, its family's header and attributes.
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    /// `header` is the structure of the message's kind (`struct ifinfomsg`, `ifaddrmsg`, `rtmsg`, `ndmsg`).
    #[must_use]
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        Self { kind, flags, body: header.to_vec() }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        append(&mut self.body, kind, value);
        self
    }

    /// With an address as an attribute.
    #[must_use]
    pub fn with_address(self, kind: u16, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.with(kind, &address.octets()),
            IpAddr::V6(address) => self.with(kind, &address.octets()),
        }
    }

    fn encode(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        header.message_type = self.kind;
        header.flags = self.flags | flags | NLM_F_REQUEST;
        header.sequence_number = sequence;
        let mut bytes = vec![0; HEADER];
        header.emit(&mut bytes);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Appends an attribute, padded.
pub fn append(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let attribute = DefaultNla::new(kind, value.to_vec());
    let at = to.len();
    to.resize(at + attribute.buffer_len(), 0);
    attribute.emit(&mut to[at..]);
}

/// The attributes of a message whose own header has `header` bytes. One that is cut off ends them.
pub fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(body.get(header..).unwrap_or_default()).map_while(Result::ok)
}

/// A number at a place of a message.
#[must_use]
pub fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// An address as an attribute has it.
#[must_use]
pub fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// The number of an address's family.
#[must_use]
pub fn family(ipv6: bool) -> u8 {
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    u8::try_from(family.as_raw()).unwrap_or(0)
}

/// A socket, of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket that hears the kernel only.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> io::Result<Self> {
        let kind = SocketType::RAW;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, None)?;
        // Connected to the kernel, it takes no messages of processes.
        rustix::net::connect(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Has something changed, and waits for the kernel's word on it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn change(&mut self, request: &Request) -> io::Result<()> {
        self.send(request, NLM_F_ACK)?;
        let mut buffer = [0; DATAGRAM];
        loop {
            let mut outcome = None;
            self.receive(&mut buffer, |message| {
                if message.message_type() == NLMSG_ERROR {
                    outcome = Some(outcome_of(message.payload()));
                }
            })?;
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// Asks for a list; `take` picks what is of interest.
    ///
    /// # Errors
    /// The kernel's; also when there are more entries than are borne.
    pub fn list<T>(&mut self, request: &Request, take: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<T>> {
        let mut taken = Vec::new();
        for _ in 0..ATTEMPTS {
            taken.clear();
            if self.list_once(request, &take, &mut taken)? {
                break;
            }
        }
        Ok(taken)
    }

    /// False if the list changed meanwhile.
    fn list_once<T>(
        &mut self,
        request: &Request,
        take: impl Fn(&[u8]) -> Option<T>,
        taken: &mut Vec<T>,
    ) -> io::Result<bool> {
        self.send(request, NLM_F_DUMP)?;
        let (mut buffer, mut whole, mut entries) = ([0; DATAGRAM], true, 0_usize);
        loop {
            let mut end = None;
            self.receive(&mut buffer, |message| {
                whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    NLMSG_DONE | NLMSG_ERROR => end = Some(outcome_of(message.payload())),
                    _ => {
                        entries += 1;
                        taken.extend(take(message.payload()).filter(|_| entries <= MAX_ENTRIES));
                    }
                }
            })?;
            match end {
                Some(Ok(())) if entries > MAX_ENTRIES => {
                    return Err(io::Error::other(format!(
                        "there are {entries} entries, more than {MAX_ENTRIES}"
                    )));
                }
                Some(outcome) => return outcome.map(|()| whole),
                None => {}
            }
        }
    }

    fn send(&mut self, request: &Request, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        rustix::net::send(&self.socket, &request.encode(flags, self.sequence), SendFlags::empty())?;
        Ok(())
    }

    /// Hands over the messages of one datagram that answer the last request.
    fn receive(
        &self,
        buffer: &mut [u8; DATAGRAM],
        mut each: impl FnMut(NetlinkBuffer<&[u8]>),
    ) -> io::Result<()> {
        let (_, length) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC))?;
        let Some(mut rest) = buffer.get(..length) else {
            return Err(io::Error::other(format!("the kernel sent {length} bytes at once")));
        };
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            if message.sequence_number() == self.sequence {
                each(message);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Both NLMSG_ERROR and NLMSG_DONE begin with a negative error number, or 0.
fn outcome_of(payload: &[u8]) -> io::Result<()> {
    match number(payload, 0).cast_signed() {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}
