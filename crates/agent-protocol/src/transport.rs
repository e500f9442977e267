//! The byte streams between host and agent.
//!
//! | transport | host side | guest side |
//! |---|---|---|
//! | vsock | [`connect`] to [`AgentAddress::Vsock`] | a vsock listener into [`serve`] |
//! | hybrid vsock | [`connect`] to [`AgentAddress::HybridVsock`]: a Unix socket and [`hybrid::handshake`] | as vsock |
//! | virtio-serial | a proxy with [`Mux::client`] on the serial socket; its users [`connect`] to [`AgentAddress::Unix`] | [`Mux::server`] on the port, its streams into [`serve`] |
//!
//! Whatever the stream, [`client`] makes a ttrpc client of it.

mod address;
mod connect;
mod error;
pub mod hybrid;
mod mux;
mod rpc;

use tokio::io::{AsyncRead, AsyncWrite};

pub use address::AgentAddress;
pub use connect::connect;
pub use error::TransportError;
pub use mux::{Incoming, Mux, MuxError, MuxStream};
pub use rpc::{client, serve};

/// A connected byte stream of any transport.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + ?Sized> Stream for T {}

/// A stream whose transport does not matter any more.
pub type BoxStream = Box<dyn Stream>;
