//! Which groups a sandbox has, and where: pure.

use std::path::{Path, PathBuf};

use virtcontainers_sys::cgroup::{self, Hierarchy, Version};
use virtcontainers_types::SandboxId;

use super::{Cgroups, DEFAULT_PARENT, Group, Holds, OVERHEAD_PARENT, V1_CONSTRAINTS, V1_NO_CONSTRAINTS};
use crate::config::SandboxConfig;

/// The slice of systemd in which sandboxes are that were given none, as with runc.
const DEFAULT_SLICE: &str = "system.slice";
/// The controllers of version 1 that count what is used.
const COUNTING: [&str; 4] = ["cpuacct", "memory", "pids", "blkio"];
/// The longest place that may be asked for.
const MAX_LOCATION: usize = 1024;

/// Where a sandbox's groups are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// Below this path; a relative one starts where this process is.
    Parent(PathBuf),
    /// A scope with this prefix, in a slice of systemd.
    Scope { slice: PathBuf, prefix: String },
}

impl Location {
    /// Reads the configuration.
    ///
    /// # Errors
    /// What is expected instead.
    pub(crate) fn parse(cgroups: Option<&str>, systemd: bool) -> Result<Self, &'static str> {
        match (cgroups, systemd) {
            (None, false) => Ok(Self::Parent(DEFAULT_PARENT.into())),
            (None, true) => Self::scope(DEFAULT_SLICE, DEFAULT_PARENT),
            (Some(path), false) => Self::parent(path),
            (Some(place), true) => {
                let parts: Vec<_> = place.split(':').collect();
                match parts.as_slice() {
                    [slice, prefix, _name] => {
                        Self::scope(if slice.is_empty() { DEFAULT_SLICE } else { slice }, prefix)
                    }
                    _ => Err(
                        "with systemd_cgroup, write \"slice:prefix:name\", for example \"machine.slice:vc:\"",
                    ),
                }
            }
        }
    }

    fn parent(path: &str) -> Result<Self, &'static str> {
        let part = |part: &str| {
            part != "."
                && part != ".."
                && part.len() <= 255
                && part.bytes().all(|byte| byte >= b' ' && byte != 127)
        };
        if path.is_empty() || path.len() > MAX_LOCATION || !path.split('/').all(part) {
            return Err("write a path of a control group, from the hierarchy's top or from where you are");
        }
        Ok(Self::Parent(path.into()))
    }

    /// A slice `a-b.slice` lies in `a.slice`.
    fn scope(slice: &str, prefix: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "write a systemd slice, for example \"machine.slice\", and letters, digits, '_' or '.' for \
                             the prefix";
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && !text.starts_with('.')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        };
        let stem = slice.strip_suffix(".slice").ok_or(WRONG)?;
        let mut path = PathBuf::from("/");
        if stem != "-" {
            let parts: Vec<_> = stem.split('-').collect();
            if parts.len() > 8 || !parts.iter().all(|part| plain(part)) {
                return Err(WRONG);
            }
            for end in 1..=parts.len() {
                path.push(format!("{}.slice", parts.iter().take(end).copied().collect::<Vec<_>>().join("-")));
            }
        }
        if !plain(prefix) {
            return Err(WRONG);
        }
        Ok(Self::Scope { slice: path, prefix: prefix.to_owned() })
    }

    /// The path of the groups themselves.
    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Parent(parent) => parent.join(name),
            Self::Scope { slice, prefix } => slice.join(format!("{prefix}-{name}.scope")),
        }
    }

    /// The path of the groups for what is kept outside.
    fn overhead(&self, name: &str) -> PathBuf {
        match self {
            Self::Parent(_) => Path::new(OVERHEAD_PARENT).join(name),
            Self::Scope { slice, .. } => {
                let top: PathBuf = slice.components().take(2).collect();
                top.join(format!("{OVERHEAD_PARENT}-{name}.scope"))
            }
        }
    }
}

/// Whether a configuration speaks of control groups.
pub(crate) const fn is_asked(config: &SandboxConfig) -> bool {
    config.sandbox_cgroup_only || config.systemd_cgroup || config.cgroups.is_some()
}

/// The groups of a sandbox.
pub(crate) fn plan(
    config: &SandboxConfig,
    root: &Path,
    id: &SandboxId,
    hierarchies: &[Hierarchy],
) -> Cgroups {
    // It was checked with the rest of the configuration.
    let location = Location::parse(config.cgroups.as_deref(), config.systemd_cgroup)
        .unwrap_or_else(|_| Location::Parent(DEFAULT_PARENT.into()));
    let name = cgroup::name(root, id);
    let (path, overhead) = (location.path(&name), location.overhead(&name));
    let only = config.sandbox_cgroup_only;
    let limits = is_asked(config);
    let known = |hierarchy: &Hierarchy| {
        V1_CONSTRAINTS.iter().chain(&V1_NO_CONSTRAINTS).any(|controller| hierarchy.has(controller))
    };
    let has_v1 = hierarchies.iter().any(|hierarchy| hierarchy.version == Version::V1 && known(hierarchy));
    let mut plan = Cgroups { asked: limits, ..Cgroups::default() };
    let mut add = |hierarchy: &Hierarchy, path: &Path, holds, limited| {
        plan.groups.push(Group {
            dir: hierarchy.dir_of(path),
            version: hierarchy.version.into(),
            controllers: hierarchy.controllers.clone(),
            holds,
            limited: limited && limits,
        });
    };
    for hierarchy in hierarchies {
        let any = |wanted: &[&str]| wanted.iter().any(|controller| hierarchy.has(controller));
        let constrains = match hierarchy.version {
            // Where nothing is limited, what counts is enough, and each group costs the create a little.
            Version::V1 if !limits && !any(&COUNTING) => continue,
            Version::V1 | Version::V2 if !limits => {
                add(hierarchy, &path, Holds::Everything, false);
                continue;
            }
            // Beside version 1 it only holds the processes together.
            Version::V2 if has_v1 => {
                add(hierarchy, &path, Holds::Everything, false);
                continue;
            }
            Version::V2 => true,
            Version::V1 if any(&V1_CONSTRAINTS) => true,
            Version::V1 if any(&V1_NO_CONSTRAINTS) => false,
            Version::V1 => continue,
        };
        match (only, constrains) {
            (true, _) => add(hierarchy, &path, Holds::Everything, true),
            (false, true) => {
                add(hierarchy, &path, Holds::Machine, true);
                add(hierarchy, &overhead, Holds::Helpers, false);
            }
            (false, false) => add(hierarchy, &overhead, Holds::Everything, false),
        }
    }
    plan.parents = parents(&plan.groups, hierarchies);
    plan
}

/// The hierarchy in which a directory is: one may be mounted within another.
pub(super) fn hierarchy_of<'a>(hierarchies: &'a [Hierarchy], dir: &Path) -> Option<&'a Hierarchy> {
    let around = hierarchies.iter().filter(|hierarchy| dir.starts_with(&hierarchy.mount));
    around.max_by_key(|hierarchy| hierarchy.mount.as_os_str().len())
}

/// The groups above that are this library's, or not there yet: the deepest first.
fn parents(groups: &[Group], hierarchies: &[Hierarchy]) -> Vec<PathBuf> {
    let mut parents: Vec<PathBuf> = Vec::new();
    for group in groups {
        let Some(hierarchy) = hierarchy_of(hierarchies, &group.dir) else { continue };
        for above in group.dir.ancestors().skip(1).take_while(|above| *above != hierarchy.mount) {
            let is_ours =
                above.file_name().is_some_and(|name| name == DEFAULT_PARENT || name == OVERHEAD_PARENT);
            if (is_ours || !above.exists()) && !parents.iter().any(|known| known == above) {
                parents.push(above.to_owned());
            }
        }
    }
    parents
}
