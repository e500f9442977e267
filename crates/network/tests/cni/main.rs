//! The CNI client, with Debian's plugins and with plugins made by the test. What is the host to the plugins is a
//! network namespace of each test's own. Needs root, iproute2, iptables, and containernetworking-plugins.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what tests share fails the test")]

mod conf;
mod debian;
mod faults;
mod requests;
mod world;
