//! Tests of what needs no virtual machine and no privilege.

mod cmdline;
mod options;
mod reservation;
mod signal;
