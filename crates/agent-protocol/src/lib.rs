//! The Kata agent protocol and the streams that it travels on.
//!
//! This crate owns the wire and nothing else: it knows no sandbox and no VM. Host and guest both use it, so that
//! what they must agree on stands in one place:
//!
//! - [`api`]: what is said: messages, ttrpc clients and service traits;
//! - [`oci`]: container specifications as messages, both ways;
//! - [`transport`]: over which byte streams it is said: vsock, hybrid vsock, Unix sockets, yamux over a serial port;
//! - [`ports`], [`guest_paths`], [`kernel_parameters`]: the names and numbers of the convention;
//! - [`limits`]: how much either side accepts from the other.

pub mod api;
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "generated code follows its generator's style; the messages are documented in proto/"
)]
mod generated;
pub mod guest_paths;
pub mod kernel_parameters;
pub mod limits;
pub mod oci;
pub mod ports;
pub mod transport;
