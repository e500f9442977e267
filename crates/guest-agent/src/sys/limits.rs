//! The resource limits of the agent's own processes (setrlimit(2)).

use std::io;

use rustix::process::{Resource, Rlimit};

/// Descriptors of the agent: three for each process whose output may still be asked for, and six while it is launched.
const MANY: u64 = 1 << 16;

/// What programs expect: some close all descriptors up to the limit, some keep tables of as many.
const FEW: u64 = 1024;

/// How far programs can go by themselves.
const MOST: u64 = 1 << 19;

/// Lets this process hold the descriptors of many others.
///
/// # Errors
/// Without `CAP_SYS_RESOURCE`, if the limit is lower.
pub fn hold_many_descriptors() -> io::Result<()> {
    set(MANY, MOST)
}

/// Gives this process, and the workloads that come of it, the usual limits.
///
/// # Errors
/// As [`hold_many_descriptors`].
pub fn hold_few_descriptors() -> io::Result<()> {
    set(FEW, MOST)
}

fn set(current: u64, maximum: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
    Ok(rustix::process::setrlimit(Resource::Nofile, limit)?)
}
