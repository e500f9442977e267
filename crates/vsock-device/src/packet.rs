//! A packet's header, as the virtio specification has it (section "Socket Device", `struct virtio_vsock_hdr`).

/// Bytes of a header.
pub(crate) const HEADER: usize = 44;
/// The host's context id (`VMADDR_CID_HOST`).
pub(crate) const HOST_CID: u64 = 2;
/// Connections that deliver a stream of bytes, the only kind here.
pub(crate) const STREAM: u16 = 1;
/// In a [`Op::SHUTDOWN`]: who says it will receive no more.
pub(crate) const SHUT_RECEIVE: u32 = 1;
/// In a [`Op::SHUTDOWN`]: who says it will send no more.
pub(crate) const SHUT_SEND: u32 = 2;
/// Both.
pub(crate) const SHUT_BOTH: u32 = SHUT_RECEIVE | SHUT_SEND;

/// What a packet does. A number, for the guest may send any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Op(pub(crate) u16);

impl Op {
    pub(crate) const REQUEST: Self = Self(1);
    pub(crate) const RESPONSE: Self = Self(2);
    pub(crate) const RST: Self = Self(3);
    pub(crate) const SHUTDOWN: Self = Self(4);
    pub(crate) const RW: Self = Self(5);
    pub(crate) const CREDIT_UPDATE: Self = Self(6);
    pub(crate) const CREDIT_REQUEST: Self = Self(7);
}

/// A header. `allocated` and `forwarded` tell the other side how much its peer can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) from_cid: u64,
    pub(crate) to_cid: u64,
    pub(crate) from_port: u32,
    pub(crate) to_port: u32,
    pub(crate) length: u32,
    pub(crate) kind: u16,
    pub(crate) op: Op,
    pub(crate) flags: u32,
    pub(crate) allocated: u32,
    pub(crate) forwarded: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Self {
        let long = |at: usize| u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32;
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            from_cid: long(0),
            to_cid: long(8),
            from_port: word(bytes, 16),
            to_port: word(bytes, 20),
            length: word(bytes, 24),
            kind: half(28),
            op: Op(half(30)),
            flags: word(bytes, 32),
            allocated: word(bytes, 36),
            forwarded: word(bytes, 40),
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(&self.from_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.to_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.from_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.to_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.op.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.allocated.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.forwarded.to_le_bytes());
        bytes
    }

    /// The answer that there is no such connection.
    pub(crate) fn refusal(&self) -> Self {
        Self {
            from_cid: self.to_cid,
            to_cid: self.from_cid,
            from_port: self.to_port,
            to_port: self.from_port,
            kind: self.kind,
            op: Op::RST,
            ..Self::default()
        }
    }
}

fn word(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
