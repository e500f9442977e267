//! The guest agent of virtcontainers: PID 1 of the virtual machine, speaking the Kata agent protocol.
//!
//! - [`init`] makes a bare kernel into a place where containers can run: mounts, modules, power off.
//! - [`serve`] finds the transport on which the host is reached and hands its connections to [`service`].
//! - [`service`] answers the protocol's calls, one file for each family of calls.
//! - [`container`] keeps the containers. What forks (create, exec) happens through `libcontainer` in a fresh,
//!   single-threaded process of the same binary, never in the agent itself.
//! - [`namespaces`] keeps what the containers of the sandbox share.
//! - [`network`] makes interfaces, routes and neighbours what the host describes.
//! - [`process`] owns the processes' standard streams and exit codes; [`reaper`] collects every child.
//! - [`copy`] takes files from the host; [`console`] gives shells to it; [`log`] and [`metrics`] tell it how the guest is.
//! - [`storage`] mounts what the host asks for, only below allowed directories.
//! - [`sys`] is the only room with `unsafe`.
//!
//! Invariants: the agent holds at most one read's worth of a workload's output; a failing or panicking call never
//! ends the agent; PID 1 never exits, it powers the machine off.

pub mod agent;
pub mod console;
pub mod container;
pub mod copy;
pub mod error;
pub mod init;
pub mod log;
pub mod metrics;
pub mod namespaces;
pub mod network;
pub mod process;
pub mod reaper;
pub mod run;
pub mod serve;
pub mod service;
pub mod storage;
#[expect(unsafe_code, reason = "the one room of this crate that may call the kernel without rustix's types")]
pub mod sys;

#[cfg(test)]
mod tests;

/// The agent's version, as `Health.Version` and `GetGuestDetails` report it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
