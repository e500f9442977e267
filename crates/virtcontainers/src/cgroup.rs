//! The host's control groups of a sandbox: where its processes run on the host, what they may use together, and what they
//! have used.
//!
//! `Cgroups` is what a record keeps: directories, worked out before the first is made. Every process of a sandbox starts
//! in them (the kernel is told before its program is executed), and whatever is still in them at the end is killed with
//! them. A group's name tells root directory and sandbox, so those of another root are never touched.
//!
//! Nothing configured: one group in each hierarchy that counts, made as far as the host lets us, without limits; a status
//! says what is lacking. As
//! soon as a configuration speaks of control groups (`cgroups`, `systemd_cgroup`, `sandbox_cgroup_only`), one that cannot
//! be made is an error, and limits hold. What lands where is in `docs/cgroups.md`.

mod host;
mod limits;
mod plan;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use virtcontainers_sys::cgroup::{self, Hierarchy, Version};

pub(crate) use host::systemd_runs;
pub use host::{CgroupHost, CgroupVersion};
pub(crate) use limits::{Limits, set_limits};
pub(crate) use plan::{Location, is_asked, plan};
pub(crate) use stats::Read;

use crate::{
    error::{Cause, Error},
    sandbox::Role,
};

/// The controllers of version 1 that hold limits for a virtual machine (the reference document's `V1Constraints`).
pub const V1_CONSTRAINTS: [&str; 3] = ["cpuset", "cpu", "cpuacct"];
/// The controllers of version 1 that hold limits only with `sandbox_cgroup_only`, and otherwise just count (the reference
/// document's `V1NoConstraints`): what a caller sets for a container is too little for the machine around it.
pub const V1_NO_CONSTRAINTS: [&str; 3] = ["memory", "pids", "blkio"];
/// The controllers of version 2 that are wanted.
const V2_CONTROLLERS: [&str; 5] = ["cpuset", "cpu", "memory", "pids", "io"];
/// The group above all sandboxes that were given no place.
pub(crate) const DEFAULT_PARENT: &str = "virtcontainers";
/// The group above the helpers of sandboxes whose machines have groups of their own.
pub(crate) const OVERHEAD_PARENT: &str = "virtcontainers-overhead";

/// The groups of one sandbox, as its record has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cgroups {
    groups: Vec<Group>,
    /// Groups above them that go when nobody is in them any more, the deepest first.
    parents: Vec<PathBuf>,
    /// The caller spoke of them: what cannot be done is an error.
    asked: bool,
    /// What could not be made, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lacking: Vec<String>,
}

/// One group, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    dir: PathBuf,
    version: CgroupVersion,
    controllers: Vec<String>,
    holds: Holds,
    /// Whether it is given limits.
    limited: bool,
}

/// Whose processes a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Holds {
    Everything,
    Machine,
    Helpers,
}

impl Holds {
    fn takes(self, role: Role) -> bool {
        match self {
            Self::Everything => true,
            Self::Machine => role == Role::Vmm,
            Self::Helpers => role != Role::Vmm,
        }
    }
}

impl Cgroups {
    /// The directories in which a process starts.
    pub(crate) fn of(&self, role: Role) -> Vec<PathBuf> {
        self.groups.iter().filter(|group| group.holds.takes(role)).map(|group| group.dir.clone()).collect()
    }

    /// All directories.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.groups.iter().map(|group| group.dir.as_path())
    }

    /// Whether the caller spoke of them.
    pub(crate) const fn is_asked(&self) -> bool {
        self.asked
    }

    /// What could not be made, and why.
    pub(crate) fn lacking(&self) -> &[String] {
        &self.lacking
    }

    /// Makes them. What nobody asked for and cannot be is left out, and told.
    pub(crate) fn make(mut self) -> Result<Self, Error> {
        let hierarchies = match cgroup::hierarchies() {
            Ok(hierarchies) => hierarchies,
            Err(source) if self.asked => return Err(failed(Path::new("/proc/self/cgroup"), source)),
            Err(source) => return Ok(Self { lacking: vec![source.to_string()], ..Self::default() }),
        };
        if self.asked && self.groups.is_empty() {
            let source =
                io::Error::new(io::ErrorKind::NotFound, "this host has no hierarchy of them mounted");
            return Err(failed(Path::new("/sys/fs/cgroup"), source));
        }
        for group in std::mem::take(&mut self.groups) {
            match make(&hierarchies, &group, self.asked) {
                Ok(()) => self.groups.push(group),
                Err(source) if self.asked => return Err(failed(&group.dir, source)),
                Err(source) => {
                    tracing::debug!(group = %group.dir.display(), %source, "no control group");
                    self.lacking.push(format!("{}: {source}", group.dir.display()));
                    // It may have been made, and be of no use.
                    fs::remove_dir(&group.dir).ok();
                }
            }
        }
        Ok(self)
    }

    /// Kills what is in them, and removes them, as often as it is called. Only those that bear this name.
    pub(crate) async fn remove(&self, name: &str) -> io::Result<()> {
        let mut failure = Ok(());
        for group in self.groups.iter().rev() {
            let is_ours = group.dir.file_name().is_some_and(|found| found.to_string_lossy().contains(name));
            let removed = if is_ours {
                cgroup::remove(&group.dir).await
            } else {
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is another's: remove it by hand if it is not",
                ))
            };
            if let Err(error) = removed {
                let what = format!("{}: {error}", group.dir.display());
                failure = failure.and(Err(io::Error::new(error.kind(), what)));
            }
        }
        for parent in &self.parents {
            // Others may be in it.
            cgroup::remove_empty(parent).ok();
        }
        failure
    }
}

fn failed(dir: &Path, source: io::Error) -> Error {
    Cause::Cgroup { path: dir.to_owned(), source }.into()
}

fn make(hierarchies: &[Hierarchy], group: &Group, asked: bool) -> io::Result<()> {
    let Some(hierarchy) = plan::hierarchy_of(hierarchies, &group.dir) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "its hierarchy is not mounted"));
    };
    cgroup::make(hierarchy, &group.dir)?;
    cgroup::may_join(hierarchy, &group.dir)?;
    if hierarchy.version == Version::V2 {
        offer_controllers(hierarchy, &group.dir, asked);
    }
    Ok(())
}

/// Has the groups above one of version 2 hand their controllers down. Groups that are not ours are left as they are, unless
/// the caller asked for a place below them. What is not to be had is missed when a limit is to be set.
fn offer_controllers(hierarchy: &Hierarchy, dir: &Path, asked: bool) {
    let mut above: Vec<&Path> =
        dir.ancestors().skip(1).take_while(|above| above.starts_with(&hierarchy.mount)).collect();
    above.reverse();
    for group in above {
        let is_ours = group.file_name().is_some_and(|name| name == DEFAULT_PARENT || name == OVERHEAD_PARENT);
        if !is_ours && !asked {
            continue;
        }
        let control = group.join("cgroup.subtree_control");
        let handed = fs::read_to_string(&control).unwrap_or_default();
        for wanted in
            V2_CONTROLLERS.iter().filter(|wanted| !handed.split_whitespace().any(|had| had == **wanted))
        {
            if let Err(error) = fs::write(&control, format!("+{wanted}")) {
                tracing::debug!(group = %group.display(), controller = wanted, %error, "not handed down");
            }
        }
    }
}
