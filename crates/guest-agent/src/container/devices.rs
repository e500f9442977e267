//! Devices that a request names besides the specification's: those that the machine has had since its start.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use virtcontainers_agent_protocol::api::agent::Device;

use super::spec::is_plain;
use crate::error::CallError;

/// Devices in one request.
const MAX_DEVICES: usize = 256;

/// Kinds whose device file is given by its path in the guest.
pub const KINDS: [&str; 2] = ["mmioblk", "nvdimm"];

/// Gives each device to the container: the specification's entry with its path in the container gets the numbers that
/// the device has in this guest.
///
/// # Errors
/// [`CallError::NotBuilt`] for kinds that have to be found after hotplug, [`CallError::Invalid`], [`CallError::NoFile`].
pub fn give(spec: &mut Spec, devices: &[Device]) -> Result<(), CallError> {
    if devices.len() > MAX_DEVICES {
        return Err(CallError::TooMany { what: "devices in one request", limit: MAX_DEVICES });
    }
    if devices.is_empty() {
        return Ok(());
    }
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut listed = linux.devices().clone().unwrap_or_default();
    for device in devices {
        let found = find(device)?;
        match listed.iter_mut().find(|listed| listed.path() == found.path()) {
            Some(listed) => {
                listed.set_typ(found.typ()).set_major(found.major()).set_minor(found.minor());
            }
            None => listed.push(found),
        }
    }
    linux.set_devices(Some(listed));
    spec.set_linux(Some(linux));
    Ok(())
}

fn find(device: &Device) -> Result<LinuxDevice, CallError> {
    if !KINDS.contains(&device.type_.as_str()) {
        return Err(CallError::NotBuilt(
            "a device of this type (CreateContainerRequest.devices: mmioblk, nvdimm are)",
        ));
    }
    let (inside, outside) = (PathBuf::from(&device.container_path), Path::new(&device.vm_path));
    for (field, path) in [("devices.container_path", inside.as_path()), ("devices.vm_path", outside)] {
        if !is_plain(path) || !path.starts_with("/dev") {
            let reason = format!("`{}` must be a plain path below /dev", path.display());
            return Err(CallError::Invalid { field, reason });
        }
    }
    let metadata = match fs::metadata(outside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CallError::NoFile(outside.to_owned()));
        }
        metadata => metadata.map_err(CallError::io("look at", outside))?,
    };
    let kind = if metadata.file_type().is_block_device() {
        LinuxDeviceType::B
    } else if metadata.file_type().is_char_device() {
        LinuxDeviceType::C
    } else {
        let reason = format!("`{}` is no device", outside.display());
        return Err(CallError::Invalid { field: "devices.vm_path", reason });
    };
    let mut found = LinuxDevice::default();
    found.set_path(inside).set_typ(kind);
    found.set_major(rustix::fs::major(metadata.rdev()).into());
    found.set_minor(rustix::fs::minor(metadata.rdev()).into());
    Ok(found)
}
