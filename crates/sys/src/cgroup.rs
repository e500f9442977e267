//! Control groups of the host: the hierarchies that are mounted, making a group, ending what is in it, removing it.
//!
//! A group is its directory, and what is done here is done with nothing else: whoever has the path from a record can
//! end and remove it, as often as he likes. The groups of a sandbox bear a [`name`] that tells the root directory and
//! the sandbox, so that they are found without a record too.
//!
//! Why not a crate: `cgroups-rs` 0.5 brings a D-Bus stack for systemd that cannot be left out, `libcgroups` what the
//! guest's containers need (BPF, device rules); both put a process in after it has started, both work out a group's
//! directories anew from a name each time, and neither can remove one that is half there.

mod group;
mod hierarchy;

pub use group::{Found, find_under, kill, make, may_join, name, processes, remove, remove_empty};
pub use hierarchy::{Hierarchy, Version, hierarchies};

/// The file of a group that lists its processes, and takes new ones.
pub const PROCS: &str = "cgroup.procs";

#[cfg(test)]
mod tests;
