//! Kernel interfaces that need `unsafe`, or that the workspace allows in one room only.

pub mod fork;
pub mod limits;
pub mod loopback;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod passing;
pub mod port;
pub mod random;
pub mod signal;
pub mod swap;
pub mod terminal;
pub mod uevent;
pub mod watch;
