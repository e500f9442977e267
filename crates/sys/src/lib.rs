//! Host kernel interfaces of virtcontainers, each behind a safe function that says what failed.
//!
//! This is the only host crate in which `unsafe` is allowed, and every such block carries its reason. What is here
//! knows nothing of sandboxes: it deals in processes, descriptors, mounts, sockets and files.

pub mod cgroup;
pub mod cpu;
pub mod fs;
pub mod log;
pub mod memory;
pub mod mount;
pub mod netns;
pub mod privilege;
pub mod process;
pub mod program;
pub mod spawn;
pub mod tap;
pub mod task;
pub mod unix;
pub mod usage;
mod watch;

pub use watch::watch;
