//! Network devices by their way through PCI bridges, in sysfs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use virtcontainers_types::net::PciPath;

/// Where the kernel shows devices.
pub const DEVICES: &str = "/sys/devices";

/// The bus at which ways begin.
const ROOT_BUS: &str = "pci0000:00";

/// The number of the interface that the device at `path` below `devices` ([`DEVICES`]) has; none while there is no device,
/// or no driver has taken it.
///
/// # Errors
/// When a directory that is there cannot be read.
pub fn interface(devices: &Path, path: &PciPath) -> io::Result<Option<u32>> {
    let Some(device) = device(devices, path)? else { return Ok(None) };
    for parent in parents(&device)? {
        for interface in entries(&parent.join("net"))? {
            match fs::read_to_string(interface.join("ifindex")) {
                Ok(index) => return Ok(index.trim().parse().ok()),
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// A device's directory, by slots: function 0 at each, as the protocol's paths have no other.
fn device(devices: &Path, path: &PciPath) -> io::Result<Option<PathBuf>> {
    let mut at = devices.join(ROOT_BUS);
    for slot in path.slots() {
        let children = entries(&at)?;
        match children.into_iter().find(|child| slot_of(child) == Some(*slot)) {
            Some(child) => at = child,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The slot in a name like `0000:01:02.0`.
fn slot_of(directory: &Path) -> Option<u8> {
    let name = directory.file_name()?.to_str()?;
    let mut parts = name.strip_suffix(".0")?.split(':');
    let (domain, bus, slot) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str, digits| text.len() == digits && u32::from_str_radix(text, 16).is_ok();
    let is_address =
        is_number(domain, 4) && is_number(bus, 2) && is_number(slot, 2) && parts.next().is_none();
    u8::from_str_radix(slot, 16).ok().filter(|_| is_address)
}

/// Where a device's `net` directory may be: its own, or that of the virtio device in it.
fn parents(device: &Path) -> io::Result<Vec<PathBuf>> {
    let is_virtio = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("virtio"))
    };
    let mut parents: Vec<_> = entries(device)?.into_iter().filter(is_virtio).collect();
    parents.push(device.to_owned());
    Ok(parents)
}

/// What is in a directory; nothing, where there is none.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Devices come and go while they are looked at.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// The way to the device of interface `name`, from where `class` (`/sys/class/net`) shows it; none unless it is on the PCI
/// bus at which ways begin.
#[must_use]
pub fn path_of(class: &Path, name: &str) -> Option<PciPath> {
    let place = fs::canonicalize(class.join(name)).ok()?;
    let mut parts = place.iter().skip_while(|part| *part != ROOT_BUS);
    parts.next()?;
    let slots = parts.map_while(|part| slot_of(Path::new(part)));
    PciPath::new(slots.collect()).ok()
}
