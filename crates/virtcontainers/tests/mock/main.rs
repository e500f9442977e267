//! The whole library against the mock hypervisor: all verbs, every failure of every step, many processes' worth of
//! runtimes on one root. No virtual machine, but root rights: the shared directory is made of real mounts.

mod bad_input;
mod faults;
mod list;
mod stage;
mod verbs;
