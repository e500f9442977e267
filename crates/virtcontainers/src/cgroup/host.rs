//! What the host has of control groups.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use virtcontainers_sys::cgroup::{self, Version};

/// The kernel's interface to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// A hierarchy for each controller.
    V1,
    /// The unified hierarchy.
    V2,
}

impl From<Version> for CgroupVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::V1 => Self::V1,
            Version::V2 => Self::V2,
        }
    }
}

/// Control groups as this process finds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CgroupHost {
    /// Where limits are set: version 1 wherever it has a controller; none without any hierarchy.
    pub version: Option<CgroupVersion>,
    /// The unified hierarchy is there too, for ending all processes of a group at once.
    pub unified: bool,
    /// The controllers that there are and that this library uses.
    pub controllers: Vec<String>,
    /// Whether systemd runs the host, which `systemd_cgroup` needs.
    pub systemd: bool,
    /// Why this process can make no groups, where it cannot.
    pub refused: Option<String>,
}

impl CgroupHost {
    /// Looks at the host; makes nothing.
    #[must_use]
    pub fn look() -> Self {
        let mut host = Self {
            version: None,
            unified: false,
            controllers: Vec::new(),
            systemd: systemd_runs(),
            refused: None,
        };
        let hierarchies = match cgroup::hierarchies() {
            Ok(hierarchies) => hierarchies,
            Err(error) => return Self { refused: Some(error.to_string()), ..host },
        };
        for hierarchy in &hierarchies {
            match hierarchy.version {
                Version::V1 => host.version = Some(CgroupVersion::V1),
                Version::V2 => host.unified = true,
            }
            let known = super::V1_CONSTRAINTS.iter().chain(&super::V1_NO_CONSTRAINTS).chain(&["io"]);
            let has = known.filter(|controller| hierarchy.has(controller)).map(|known| (*known).to_owned());
            host.controllers.extend(has);
            let at = hierarchy.dir_of(Path::new(super::DEFAULT_PARENT));
            if let Some(parent) = at.ancestors().find(|above| above.is_dir()) {
                let flags = rustix::fs::AtFlags::EACCESS;
                let writable = rustix::fs::Access::WRITE_OK;
                if let Err(error) = rustix::fs::accessat(rustix::fs::CWD, parent, writable, flags) {
                    host.refused.get_or_insert(format!("{} may not be written: {error}", parent.display()));
                }
            }
        }
        if host.version.is_none() && host.unified {
            host.version = Some(CgroupVersion::V2);
        }
        if hierarchies.is_empty() {
            host.refused = Some("no hierarchy of control groups is mounted".to_owned());
        }
        host.controllers.sort();
        host.controllers.dedup();
        host
    }
}

/// Whether systemd is the host's manager, as sd_booted(3) tells.
pub(crate) fn systemd_runs() -> bool {
    fs::symlink_metadata("/run/systemd/system").is_ok_and(|found| found.is_dir())
}
