//! Kernel interfaces that need `unsafe`, or that the workspace allows in one room only.

pub mod loopback;
pub mod mount;
pub mod namespace;
pub mod passing;
pub mod port;
pub mod signal;
pub mod uevent;
pub mod watch;
