//! The whole library against the mock hypervisor: all verbs, every failure of every step, many processes' worth of
//! runtimes on one root. No virtual machine, but root rights: the shared directory is made of real mounts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test tells by panicking, and its tasks end with its runtime"
)]

mod at_once;
mod bad_input;
mod cgroups;
mod changes;
mod crash;
mod crowd;
mod drift;
mod events;
mod faults;
mod gc;
mod interfaces;
mod kept;
mod list;
mod matrix;
mod model;
mod monitor;
mod network;
mod observe;
mod plugins;
mod shim;
mod stage;
mod supervision;
mod verbs;
