//! Users by name or number, resolved in the container's own `/etc/passwd` and `/etc/group`.
//!
//! The agent reads these files itself: a statically linked libc would load the container's name service modules.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::Path,
};

use oci_spec::runtime::Process;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::CallError;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Bytes read of a user database.
const MAX_DATABASE: u64 = 4 << 20;

/// A user as a request names it; an empty field is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StringUser {
    /// Name or number.
    pub user: String,
    /// Name or number; of the user's own group when empty.
    pub group: String,
    /// Names or numbers of more groups.
    pub additional: Vec<String>,
}

/// Sets the process's user, groups and `HOME` from what the request and the process itself say. A process's
/// `username` may be `user` or `user:group`.
///
/// # Errors
/// [`CallError::NoUser`] for a name that the container does not know.
pub fn apply(process: &mut Process, wanted: &StringUser, rootfs: &Path) -> Result<(), CallError> {
    let mut wanted = wanted.clone();
    if wanted.user.is_empty() {
        let named = process.user().username().clone().unwrap_or_default();
        let (user, group) = named.split_once(':').unwrap_or((&named, ""));
        user.clone_into(&mut wanted.user);
        if wanted.group.is_empty() {
            group.clone_into(&mut wanted.group);
        }
    }
    let passwd = read_in_root(rootfs, PASSWD);
    if !(wanted.user.is_empty() && wanted.group.is_empty() && wanted.additional.is_empty()) {
        let groups = read_in_root(rootfs, GROUP);
        resolve(process, &wanted, &passwd, &groups)?;
    }
    process.user_mut().set_username(None);
    let has_home = process.env().iter().flatten().any(|entry| entry.starts_with("HOME="));
    if !has_home {
        let home = entry_of_uid(&passwd, process.user().uid()).map(|entry| entry.home);
        let home = home.filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
        let mut env = process.env().clone().unwrap_or_default();
        env.push(format!("HOME={home}"));
        process.set_env(Some(env));
    }
    Ok(())
}

fn resolve(process: &mut Process, wanted: &StringUser, passwd: &str, groups: &str) -> Result<(), CallError> {
    let user = process.user_mut();
    let mut additional = user.additional_gids().clone().unwrap_or_default();
    if !wanted.user.is_empty() {
        let by_name = passwd.lines().filter_map(Entry::parse).find(|entry| entry.name == wanted.user);
        let entry = match (by_name, wanted.user.parse::<u32>()) {
            (Some(entry), _) => Some(entry),
            (None, Ok(uid)) => {
                user.set_uid(uid);
                entry_of_uid(passwd, uid)
            }
            (None, Err(_not_a_number)) => {
                return Err(CallError::NoUser { database: PASSWD, name: wanted.user.clone() });
            }
        };
        if let Some(entry) = entry {
            user.set_uid(entry.uid);
            user.set_gid(entry.gid);
            if wanted.group.is_empty() {
                additional.extend(memberships(groups, entry.name));
            }
        }
    }
    if !wanted.group.is_empty() {
        user.set_gid(gid(groups, &wanted.group)?);
    }
    for name in &wanted.additional {
        additional.push(gid(groups, name)?);
    }
    additional.sort_unstable();
    additional.dedup();
    user.set_additional_gids((!additional.is_empty()).then_some(additional));
    Ok(())
}

/// A line of passwd(5).
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?;
        Some(Self { name, uid, gid, home })
    }
}

fn entry_of_uid(passwd: &str, uid: u32) -> Option<Entry<'_>> {
    passwd.lines().filter_map(Entry::parse).find(|entry| entry.uid == uid)
}

/// Lines of group(5): name, gid, members.
fn group_lines(groups: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or("")))
    })
}

fn memberships(groups: &str, user: &str) -> Vec<u32> {
    group_lines(groups)
        .filter(|(_, _, members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

fn gid(groups: &str, name: &str) -> Result<u32, CallError> {
    if let Some((_, gid, _)) = group_lines(groups).find(|(other, _, _)| *other == name) {
        return Ok(gid);
    }
    name.parse::<u32>().ok().ok_or_else(|| CallError::NoUser { database: GROUP, name: name.to_owned() })
}

/// The file's text; none if it is not there or is not text.
fn read_in_root(rootfs: &Path, path: &str) -> String {
    let read = |fd: OwnedFd| -> io::Result<String> {
        let mut text = String::new();
        File::from(fd).take(MAX_DATABASE).read_to_string(&mut text)?;
        Ok(text)
    };
    open_in_root(rootfs, Path::new(path)).and_then(read).unwrap_or_default()
}

/// Opens `path` for reading with `rootfs` as the root, so that no symbolic link leads out of it.
///
/// # Errors
/// As openat2(2).
pub fn open_in_root(rootfs: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty())?;
    // Not blocking: what looks like a file may be a fifo.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)?)
}
