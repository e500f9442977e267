//! Fixtures and leak checks for the tests of this workspace.
//!
//! - A [`TestRoot`] is a root directory for one test. Dropping it fails the test if anything of it stays: a process, a
//!   mount, a socket, a record.
//! - A [`HostSnapshot`] compares the whole host before and after, network links, namespaces and cgroups too. It sees
//!   what others do meanwhile, so tests that use it must be alone on the host.
//! - A [`TestNetNs`] is a network namespace for one test. Its [`snapshot`](TestNetNs::snapshot) tells whether it is left
//!   as it was found: no link, queueing discipline or filter more or less.
//! - [`kill`] ends a process and waits until it is gone.
//! - A [`Lab`] is a virtual machine that stands in as a host with all that a kernel can have.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a fixture tells the test runner what it finds"
)]

mod kill;
mod lab;
mod leak;
mod netns;
mod root;
mod snapshot;

pub use kill::kill;
pub use lab::Lab;
pub use leak::Leak;
pub use netns::{NetSnapshot, TestNetNs};
pub use root::TestRoot;
pub use snapshot::{HostSnapshot, SnapshotError, assert_no_leaks};
