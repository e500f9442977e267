//! Tap devices: descriptors that carry Ethernet frames, for a VMM to inherit.
//!
//! A tap that is made here lives as long as one of its descriptors is open, and no longer. Descriptors belong to the
//! network namespace that the calling thread is in. Frames are preceded by a `struct virtio_net_hdr`, of 10 bytes until
//! a VMM sets another length, unless bare ones are asked for.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};

/// Where taps come from.
pub const TUN_DEVICE: &str = "/dev/net/tun";

/// How a tap is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapOptions {
    /// It has several queues, of which each descriptor is one.
    pub multi_queue: bool,
    /// It must not be there yet.
    pub exclusive: bool,
    /// No header precedes its frames.
    pub bare: bool,
}

/// Opens one queue of the tap called `name` in this thread's network namespace; the tap is made if it is not there.
///
/// # Errors
/// As `open(2)` of [`TUN_DEVICE`] and `TUNSETIFF`: `ResourceBusy` for one that is there against the wish or is held
/// by another, `InvalidInput` for a name that is too long or of a device that is no tap, or has other queues.
pub fn open(name: &str, options: TapOptions) -> io::Result<OwnedFd> {
    let file = open_device(Path::new(TUN_DEVICE))?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI;
    if !options.bare {
        flags |= libc::IFF_VNET_HDR;
    }
    if options.multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    if options.exclusive {
        flags |= libc::IFF_TUN_EXCL;
    }
    set_interface(&file, name, flags)?;
    Ok(file.into())
}

fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)
}

#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn set_interface(file: &File, name: &str, flags: libc::c_int) -> io::Result<()> {
    let short = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    // SAFETY: an all-zero `ifreq` is a valid one: it holds nothing but integers and pointers that may be null.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(short("a link's name has 1 to 15 bytes"));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags & 0x7fff).map_err(io::Error::other)?
        | if flags & 0x8000 == 0 { 0 } else { libc::c_short::MIN };
    // SAFETY: the kernel reads and writes one `ifreq`, which lives and is initialized during the call.
    let code = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens one queue of the macvtap called `name`, whose index is `index`, in this thread's network namespace.
///
/// Its character device is found through a sysfs of this namespace and opened through a node on a filesystem that
/// nobody else sees: names under `/dev` are shared by all namespaces, and may be another's.
///
/// # Errors
/// `NotFound` for what is no macvtap here; else as `fsmount(2)`, `mknod(2)` and `open(2)`.
pub fn open_macvtap(name: &str, index: u32) -> io::Result<OwnedFd> {
    let sysfs = detached("sysfs")?;
    let number = rustix::fs::openat(
        &sysfs,
        format!("class/net/{name}/tap{index}/dev"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let number = String::from_utf8(crate::fs::read_bounded(number, 64)?).map_err(io::Error::other)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("{number:?} is no device number"));
    let (major, minor) = number.trim().split_once(':').ok_or_else(bad)?;
    let (major, minor) = (major.parse().map_err(io::Error::other)?, minor.parse().map_err(io::Error::other)?);
    let nodes = detached("tmpfs")?;
    rustix::fs::mknodat(
        &nodes,
        "tap",
        FileType::CharacterDevice,
        Mode::RUSR | Mode::WUSR,
        rustix::fs::makedev(major, minor),
    )?;
    Ok(rustix::fs::openat(&nodes, "tap", OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// A new mount of a kind of filesystem, on no directory.
fn detached(kind: &str) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// Opens the kernel's network back end for virtio.
///
/// # Errors
/// As `open(2)`; `NotFound` where the kernel has none.
pub fn open_vhost_net() -> io::Result<OwnedFd> {
    let fd = rustix::fs::openat(CWD, "/dev/vhost-net", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(fd)
}
