//! Tests of what needs no virtual machine and no privilege.

mod cmdline;
mod console;
mod copy;
mod diagnostic;
mod hotplug;
mod limits;
mod log;
mod metrics;
mod modules;
mod network;
mod options;
mod processes;
mod reservation;
mod signal;
mod stats;
mod swap;
