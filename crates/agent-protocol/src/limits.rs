//! How much either side takes from the other. The host treats every guest as hostile, so each of these is enforced
//! by the reader.

use std::time::Duration;

/// The largest ttrpc message in bytes, header excluded. ttrpc rejects what is larger on both sides.
pub const MESSAGE: usize = 4 << 20;

/// The most data to put into one stream or file message, in bytes: leaves room for the ids beside it.
pub const MESSAGE_DATA: usize = 1 << 20;

/// The longest answer to a hybrid vsock `CONNECT`, newline included, in bytes.
pub const HYBRID_REPLY: usize = 32;

/// How long a hybrid vsock listener may take to answer `CONNECT` once it has taken the connection. A backstop:
/// guests under emulation are slow, but a worker that hangs must not hang its callers for good.
pub const HYBRID_REPLY_TIME: Duration = Duration::from_secs(60);

/// Streams that one side of a yamux session may have opened at a time.
pub const MUX_STREAMS: usize = 64;

/// Streams of a yamux session that the peer has opened and nobody has accepted yet; more are reset.
pub const MUX_BACKLOG: usize = 64;

/// All streams of a yamux session, both sides' and those about to be closed. yamux ends the session of a peer that
/// opens more.
pub(crate) const MUX_ALL_STREAMS: usize = 2 * MUX_STREAMS;

/// What all streams of a yamux session may buffer together, in bytes: each stream's initial window, and no growth
/// beyond that.
pub(crate) const MUX_WINDOW: usize = MUX_ALL_STREAMS * yamux::DEFAULT_CREDIT as usize;
