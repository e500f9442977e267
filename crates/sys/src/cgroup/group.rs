//! One group: made, found, emptied, removed.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Access, AtFlags, CWD},
    io::Errno,
};
use virtcontainers_types::SandboxId;

use super::{Hierarchy, PROCS, Version, hierarchies};
use crate::process::{PidFd, ProcessRef, Signal};

/// What every name begins with, save in systemd's scopes.
const PREFIX: &str = "vc-";
/// How long processes that were killed may take to leave a group.
const LEAVE: Duration = Duration::from_secs(5);
/// Somebody may remove a parent between its making and the making of what is to be in it, so many times.
const TRIES: u32 = 16;
/// Groups are looked for so many levels below a hierarchy's top.
const DEPTH: usize = 24;
/// The magic numbers of the filesystems that are hierarchies.
const MAGIC: [rustix::fs::FsWord; 2] = [0x0027_e0eb, 0x6367_7270];

/// The name of a sandbox's groups: it tells the root directory (as a hash, FNV-1a of 64 bits) and the sandbox.
#[must_use]
pub fn name(root: &Path, id: &SandboxId) -> String {
    format!("{}{id}", prefix(root))
}

fn prefix(root: &Path) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = root.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{PREFIX}{hash:016x}-")
}

/// A group that bears a name of this library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its directory.
    pub dir: PathBuf,
    /// The sandbox that it names.
    pub sandbox: SandboxId,
}

/// The groups of all sandboxes of one root directory, in every hierarchy. What cannot be read holds none.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn find_under(root: &Path) -> io::Result<Vec<Found>> {
    let (prefix, mut found) = (prefix(root), Vec::new());
    for hierarchy in hierarchies()? {
        search(&hierarchy.mount, &prefix, DEPTH, &mut found);
    }
    Ok(found)
}

pub(super) fn search(dir: &Path, prefix: &str, depth: usize, found: &mut Vec<Found>) {
    for dir in below(dir) {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let id = name.split_once(prefix).map(|(_, id)| SandboxId::new(id.trim_end_matches(".scope")));
        if depth > 1 {
            search(&dir, prefix, depth - 1, found);
        }
        if let Some(Ok(sandbox)) = id {
            found.push(Found { dir, sandbox });
        }
    }
}

/// The groups below one.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Whether a directory is one of a hierarchy of control groups.
fn is_group(dir: &Path) -> io::Result<bool> {
    Ok(MAGIC.contains(&rustix::fs::statfs(dir)?.f_type))
}

/// Makes a group, and those above it that are missing. One that is there is taken as it is. In a hierarchy of version 1
/// with processor sets, each gets its parent's sets, without which no process could enter.
///
/// # Errors
/// As `mkdir(2)`; `InvalidInput` for a directory that is not in the hierarchy.
pub fn make(hierarchy: &Hierarchy, dir: &Path) -> io::Result<()> {
    let below = dir.strip_prefix(&hierarchy.mount).ok().filter(|below| below.components().count() > 0);
    let below =
        below.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not in the hierarchy"))?;
    let sets = hierarchy.version == Version::V1 && hierarchy.has("cpuset");
    for _ in 0..TRIES {
        let mut at = hierarchy.mount.clone();
        let mut made = Ok(());
        for part in below {
            at.push(part);
            made = make_one(&at, sets);
            if made.is_err() {
                break;
            }
        }
        match made {
            // Its parent was removed meanwhile: nobody was in it any more.
            Err(error) if error.kind() != io::ErrorKind::NotADirectory && is_gone(&error) => {}
            made => return made,
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody removes its parents as often as they are made"))
}

fn make_one(dir: &Path, sets: bool) -> io::Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // The umask of the caller may keep everybody out.
    if fs::metadata(dir)?.permissions().mode() & 0o500 != 0o500 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    let Some(parent) = dir.parent().filter(|_| sets) else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(dir.join(file))?.trim().is_empty() {
            fs::write(dir.join(file), fs::read_to_string(parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// Whether this process may start others in a group: it needs to write the group's list, and in the unified hierarchy
/// that of the nearest group above both.
///
/// # Errors
/// `PermissionDenied`, naming what may not be written.
pub fn may_join(hierarchy: &Hierarchy, dir: &Path) -> io::Result<()> {
    let common = dir.ancestors().find(|above| hierarchy.own.starts_with(above));
    let common = common.filter(|_| hierarchy.version == Version::V2);
    for group in [Some(dir), common].into_iter().flatten() {
        let list = group.join(PROCS);
        rustix::fs::accessat(CWD, &list, Access::WRITE_OK, AtFlags::EACCESS).map_err(|error| {
            let kind = io::Error::from(error).kind();
            io::Error::new(kind, format!("{} may not be written: {error}", list.display()))
        })?;
    }
    Ok(())
}

/// The processes of a group and of those below it. None if it is gone.
///
/// # Errors
/// When a list cannot be read.
pub fn processes(dir: &Path) -> io::Result<Vec<u32>> {
    let mut found = match fs::read_to_string(dir.join(PROCS)) {
        Ok(list) => list.lines().filter_map(|pid| pid.parse().ok()).collect(),
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        // A threaded group does not tell.
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => Vec::new(),
        Err(error) => return Err(error),
    };
    for below in below(dir) {
        found.extend(processes(&below)?);
    }
    Ok(found)
}

/// A group that is gone, goes while it is looked at, or has never been possible.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NODEV, Errno::NOTDIR].map(|errno| Some(errno.raw_os_error()));
    gone.contains(&error.raw_os_error())
}

/// Kills every process of a group and of those below it but this one: all at once where the kernel offers that
/// (`cgroup.kill`), else one after the other. Returns those that were seen, so that their ends can be waited for.
///
/// # Errors
/// When a process may not be killed, or the directory is no group.
pub fn kill(dir: &Path) -> io::Result<Vec<PidFd>> {
    match is_group(dir) {
        Ok(true) => {}
        Ok(false) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no control group")),
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut seen = Vec::new();
    let listed = processes(dir)?;
    for pid in listed.iter().copied().filter(|pid| *pid != std::process::id() && *pid != 0) {
        let process = match ProcessRef::of(pid) {
            Ok(process) => process.open()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        seen.extend(process.map(|held| (pid, held)));
    }
    let at_once = dir.join("cgroup.kill");
    if !listed.is_empty() && !listed.contains(&std::process::id()) && at_once.exists() {
        match fs::write(&at_once, "1") {
            Ok(()) => return Ok(seen.into_iter().map(|(_, held)| held).collect()),
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            // A threaded group knows no such thing.
            Err(error) => tracing::debug!(group = %dir.display(), %error, "cannot kill it all at once"),
        }
    }
    // A pid that is listed still belongs to the process that was taken hold of.
    let listed = processes(dir)?;
    seen.retain(|(pid, _)| listed.contains(pid));
    for (_, held) in &seen {
        held.signal(Signal::KILL)?;
    }
    Ok(seen.into_iter().map(|(_, held)| held).collect())
}

/// Removes a group that holds neither processes nor groups. Whether it is gone.
///
/// # Errors
/// The kernel's reason, or that the directory is no group.
pub fn remove_empty(dir: &Path) -> io::Result<bool> {
    match is_group(dir) {
        Ok(true) => {}
        Ok(false) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no control group")),
        Err(error) if is_gone(&error) => return Ok(true),
        Err(error) => return Err(error),
    }
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends what is in a group, and removes it with those below it. One that is gone is as good. Cancel safe.
///
/// # Errors
/// `TimedOut` with the pids that stay; else the kernel's reason, or that the directory is no group.
pub async fn remove(dir: &Path) -> io::Result<()> {
    let end = Instant::now() + LEAVE;
    loop {
        if remove_empty(dir)? {
            return Ok(());
        }
        for below in below(dir) {
            Box::pin(remove(&below)).await?;
        }
        let seen = kill(dir)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = format!("processes {:?} are still in it after {LEAVE:?}", processes(dir)?);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        if seen.is_empty() {
            // Nobody is listed, and the kernel is about to let go of the last one: it tells nobody when it has.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for process in seen {
            if let Ok(ended) = tokio::time::timeout(left, process.exited()).await {
                ended?;
            }
        }
    }
}
