//! What stands between the host and an agent behind a virtio-serial port.
//!
//! A virtio-serial port is one stream, and QEMU lets one client at a time have it. The proxy is that client: it speaks
//! yamux over the port, listens on a Unix socket, and makes each connection there a stream of its own to the guest's
//! agent, where each carries one ttrpc connection. It ends with the serial side.
//!
//! - [`serve`] runs it in this process (the reference document's `kataBuiltInProxy`),
//! - [`ProxyProcess`] in a process of its own (`kataProxy`), whose program calls [`run_inherited`],
//! - and [`resolve`] tells which of them a sandbox needs, if any (`noProxy`, `noopProxy`).

mod choice;
mod process;
mod relay;

use std::{io, path::PathBuf};

use thiserror::Error;
use virtcontainers_sys::spawn::SpawnError;
use virtcontainers_types::{AgentKind, ProxyKind, Transport};

pub use self::{
    choice::{ProxyChoice, resolve},
    process::{ProxyProcess, ProxyRecord},
    relay::{Proxy, ProxyListen, ProxyOptions, run, run_inherited, serve},
};

/// The name of the socket that QEMU's serial port listens on, in the sandbox's directory.
pub const SERIAL_SOCKET: &str = "serial.sock";
/// The name of the socket that a proxy listens on, in the sandbox's directory.
pub const PROXY_SOCKET: &str = "proxy.sock";
/// The proxy's role in its process's mark and in the name of its log.
pub const ROLE: &str = "proxy";

/// A proxy failed, or cannot be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The choice makes no sense with the transport or the agent.
    #[error("proxy {kind} with transport {transport} and agent {agent}: {reason}")]
    Mismatch {
        /// The proxy asked for.
        kind: ProxyKind,
        /// The transport of the sandbox.
        transport: Transport,
        /// The agent of the sandbox.
        agent: AgentKind,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// A socket cannot be had.
    #[error("the proxy cannot {what} {}", path.display())]
    Socket {
        /// `connect to` or `listen on`.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The proxy's own event loop failed.
    #[error("the proxy cannot go on")]
    Runtime(#[source] io::Error),
    /// The proxy's process did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

#[cfg(test)]
mod tests;
