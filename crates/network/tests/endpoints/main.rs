//! Endpoints on the kernel of this host: frames cross, and nothing is left. Needs root, iproute2 and util-linux.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what tests share fails the test")]

mod frames;
mod giving_up;
mod joining;
mod lab;
mod opening;
mod refusing;
mod scene;
mod transcript;
