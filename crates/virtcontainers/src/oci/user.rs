//! Who a process is: names of users and groups looked up in the container's own files.
//!
//! The files are the container's, hence not to be trusted: they are opened so that no symbolic link leads out of the
//! root filesystem, and read up to a bound.

use std::{collections::BTreeMap, io, os::fd::AsFd as _, path::Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use virtcontainers_sys::fs::read_bounded;

use crate::config::{Cmd, ConfigError, Problem};

/// The most that is read of `/etc/passwd` and `/etc/group`.
const MAX_FILE: u64 = 4 << 20;
/// The most supplementary groups (`NGROUPS_MAX` of Linux).
const MAX_GROUPS: usize = 65_536;

/// A user as numbers, and the home directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// An entry of passwd(5).
struct Account<'file> {
    name: &'file str,
    uid: u32,
    gid: u32,
    home: &'file str,
}

/// An entry of group(5).
struct Group<'file> {
    name: &'file str,
    gid: u32,
    members: &'file str,
}

/// Looks up the user and groups of a command. `fields` is the path of the command in its configuration.
pub(super) fn resolve(rootfs: &Path, cmd: &Cmd, fields: &str) -> Result<Identity, ConfigError> {
    let (user, group_of_user) = cmd.user.split_once(':').unwrap_or((&cmd.user, ""));
    let group = if group_of_user.is_empty() { cmd.primary_group.as_str() } else { group_of_user };
    let user = if user.is_empty() { "0" } else { user };

    let passwd =
        read(rootfs, "etc/passwd").map_err(|error| unreadable(fields, rootfs, "etc/passwd", &error))?;
    let number = user.parse::<u32>().ok();
    let account = accounts(&passwd).find(|account| account.name == user || Some(account.uid) == number);
    let uid = match (&account, number) {
        (Some(account), _) => account.uid,
        (None, Some(number)) => number,
        (None, None) => return Err(unknown(fields, "user", user, UNKNOWN_USER)),
    };

    let needs_groups = account.is_some() || !group.is_empty() || !cmd.supplementary_groups.is_empty();
    let group_file = match needs_groups {
        true => read(rootfs, "etc/group").map_err(|error| unreadable(fields, rootfs, "etc/group", &error))?,
        false => String::new(),
    };
    let gid_of = |field: &str, group: &str| {
        let number = group.parse::<u32>().ok();
        let found = groups(&group_file).find(|entry| entry.name == group).map(|entry| entry.gid);
        found.or(number).ok_or_else(|| unknown(fields, field, group, UNKNOWN_GROUP))
    };
    let gid = match group {
        "" => account.as_ref().map_or(0, |account| account.gid),
        group => gid_of("primary_group", group)?,
    };
    let mut further = cmd
        .supplementary_groups
        .iter()
        .map(|name| gid_of("supplementary_groups", name))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(account) = account.as_ref().filter(|_| group.is_empty()) {
        let member = |entry: &Group<'_>| entry.members.split(',').any(|name| name == account.name);
        further.extend(groups(&group_file).filter(member).map(|entry| entry.gid));
    }
    further.sort_unstable();
    further.dedup();
    further.truncate(MAX_GROUPS);

    let home = match account.as_ref().map(|account| account.home) {
        Some(home) if home.starts_with('/') => home,
        Some(_) | None if uid == 0 => "/root",
        Some(_) | None => "/",
    };
    Ok(Identity { uid, gid, groups: further, home: home.to_owned() })
}

/// The names of a container's users by their numbers; empty where its file cannot be read. The first name counts.
pub(crate) fn user_names(rootfs: &Path) -> BTreeMap<u32, String> {
    let passwd = read(rootfs, "etc/passwd").unwrap_or_default();
    let mut names = BTreeMap::new();
    for account in accounts(&passwd) {
        names.entry(account.uid).or_insert_with(|| account.name.to_owned());
    }
    names
}

const UNKNOWN_USER: &str = "the container's /etc/passwd has no such user: use one that it has, or a number";
const UNKNOWN_GROUP: &str = "the container's /etc/group has no such group: use one that it has, or a number";

fn unknown(fields: &str, field: &str, found: &str, expected: &'static str) -> ConfigError {
    ConfigError::one(format!("{fields}{field}"), Problem::Invalid { found: found.to_owned(), expected })
}

fn unreadable(fields: &str, rootfs: &Path, file: &str, error: &io::Error) -> ConfigError {
    let problem = Problem::Unreadable { path: rootfs.join(file), why: error.to_string() };
    ConfigError::one(format!("{fields}user"), problem)
}

fn accounts(file: &str) -> impl Iterator<Item = Account<'_>> {
    file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

fn groups(file: &str) -> impl Iterator<Item = Group<'_>> {
    file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some(Group { name, gid: fields.nth(1)?.parse().ok()?, members: fields.next().unwrap_or_default() })
    })
}

/// The file as the container would see it; empty when it has none. Bytes that are no UTF-8 are replaced, so that they
/// match no name.
fn read(rootfs: &Path, name: &str) -> io::Result<String> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, rootfs, directory, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root.as_fd(), name, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(String::from_utf8_lossy(&read_bounded(file, MAX_FILE)?).into_owned()),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}
