//! What the kernel lets this process do: capabilities(7), and whose they are, user_namespaces(7).

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

/// `CAP_NET_ADMIN`.
pub const NET_ADMIN: u32 = 12;
/// `CAP_SYS_ADMIN`.
pub const SYS_ADMIN: u32 = 21;

/// The effective capabilities, one bit for each.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn effective_capabilities() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status has no CapEff"))
}

/// Whether this process is in a user namespace below the first: its ids are others on the host.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn in_user_namespace() -> io::Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    Ok(map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}

/// Whether the capabilities of this process hold for its namespace of this kind (`mnt`, `net`): the namespace belongs to
/// its user namespace.
///
/// # Errors
/// When the namespaces cannot be looked at.
pub fn owns_namespace(kind: &str) -> io::Result<bool> {
    let namespace = File::open(format!("/proc/self/ns/{kind}"))?;
    let Some(owner) = owner_of(&namespace)? else { return Ok(false) };
    let (owner, mine) = (File::from(owner).metadata()?, fs::metadata("/proc/self/ns/user")?);
    Ok((owner.dev(), owner.ino()) == (mine.dev(), mine.ino()))
}

/// The user namespace that owns a namespace; none if it is above the one of this process.
#[expect(unsafe_code, reason = "rustix has no NS_GET_USERNS")]
fn owner_of(namespace: &File) -> io::Result<Option<OwnedFd>> {
    // SAFETY: the request takes no argument and touches no memory; `namespace` is open while it is borrowed.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EPERM) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}
