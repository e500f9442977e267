//! What is mounted, as proc(5) and cgroups(7) tell.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Which of the kernel's two interfaces a hierarchy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for one controller, or for a few.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A hierarchy of control groups, as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The controllers that it has; for the unified one those that its top offers, none where version 1 has them all.
    pub controllers: Vec<String>,
    /// The directory of the group in which this process is.
    pub own: PathBuf,
}

/// The hierarchies that are mounted and have controllers, and the unified one. Named hierarchies of version 1 (systemd's)
/// are left out.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mut found = parse(&mounts, &groups);
    for unified in found.iter_mut().filter(|found| found.version == Version::V2) {
        let offered = fs::read_to_string(unified.mount.join("cgroup.controllers")).unwrap_or_default();
        unified.controllers = offered.split_whitespace().map(str::to_owned).collect();
    }
    Ok(found)
}

impl Hierarchy {
    /// Whether it has this controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|found| found == controller)
    }

    /// The directory of a group: an absolute path from the hierarchy's top, a relative one from where this process is.
    /// In the unified hierarchy that is beside the group in which this process is, for a group that holds processes has
    /// no groups below it that could have limits.
    #[must_use]
    pub fn dir_of(&self, path: &Path) -> PathBuf {
        let plain: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        if path.is_absolute() {
            return self.mount.join(plain);
        }
        let above = self.own.parent().filter(|above| above.starts_with(&self.mount));
        match (self.version, above) {
            (Version::V2, Some(above)) => above.join(plain),
            (Version::V2, None) | (Version::V1, _) => self.own.join(plain),
        }
    }
}

/// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) fn parse(mounts: &str, groups: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let Some(mount) = Mount::parse(line) else { continue };
        let (version, controllers) = match mount.kind {
            "cgroup2" => (Version::V2, Vec::new()),
            "cgroup" => (Version::V1, controllers(mount.options)),
            _ => continue,
        };
        let again = |known: &Hierarchy| known.version == version && known.controllers == controllers;
        if (version == Version::V1 && controllers.is_empty()) || found.iter().any(again) {
            continue;
        }
        let group = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
            let is_it = match version {
                Version::V2 => number == "0" && names.is_empty(),
                Version::V1 => names.split(',').any(|name| controllers.iter().any(|known| known == name)),
            };
            is_it.then_some(path)
        });
        let Some(group) = group else { continue };
        let point = PathBuf::from(unescape(mount.point));
        // A container may see a part of the hierarchy only, and its own group by the path from the host's top.
        let root = PathBuf::from(unescape(mount.root));
        let below = Path::new(group).strip_prefix(&root).unwrap_or(Path::new(""));
        let below: PathBuf = below.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let own = if below.as_os_str().is_empty() { point.clone() } else { point.join(below) };
        found.push(Hierarchy { version, mount: point, controllers, own });
    }
    found
}

/// The super block's options that name controllers.
fn controllers(options: &str) -> Vec<String> {
    const OTHERS: [&str; 9] =
        ["rw", "ro", "none", "xattr", "clone_children", "cpuset_v2_mode", "noprefix", "favordynmods", "all"];
    let known = |option: &&str| !OTHERS.contains(option) && !option.contains('=');
    options.split(',').filter(known).map(str::to_owned).collect()
}

/// What matters of a line of mountinfo.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        let (root, point) = (left.next()?, left.next()?);
        let kind = right.next()?;
        Some(Self { root, point, kind, options: right.nth(1).unwrap_or_default() })
    }
}

/// The four characters that mountinfo writes in octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
