//! The network interfaces of a mock machine: one symbolic link each in the sandbox's directory, named after the
//! interface, that leads to its slot. So a mock in another process sees them too.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use virtcontainers_types::net::PciPath;

use super::{Step, vm::MockVm};
use crate::{
    error::VmError,
    hotplug::{Hotplug, PluggedNic},
    nic::{Nic, NicFds},
};

const PREFIX: &str = "mock-nic-";
/// Where a link leads for an interface that has no place on a PCI bus.
const NOWHERE: &str = "nowhere";

/// Puts an interface in.
pub(super) fn plug(dir: &Path, id: &str, path: Option<&PciPath>) -> Result<(), VmError> {
    let link = link(dir, id);
    let place = path.map_or_else(|| NOWHERE.to_owned(), PciPath::to_string);
    match symlink(place, &link) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(VmError::DuplicateNic { id: id.to_owned() })
        }
        plugged => plugged.map_err(VmError::io("create", link)),
    }
}

/// Takes an interface out. Idempotent.
fn unplug(dir: &Path, id: &str) -> Result<(), VmError> {
    let link = link(dir, id);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(VmError::io("remove", link)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes out all of them.
pub(super) fn unplug_all(dir: &Path) -> Result<(), VmError> {
    plugged(dir)?.iter().try_for_each(|nic| unplug(dir, &nic.id))
}

/// The interfaces, in the order of their ids; none where there is no directory.
fn plugged(dir: &Path) -> Result<Vec<PluggedNic>, VmError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(VmError::io("read", dir)(error)),
    };
    let mut nics = Vec::new();
    for entry in entries {
        let entry = entry.map_err(VmError::io("read", dir))?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let place = fs::read_link(entry.path()).map_err(VmError::io("read", entry.path()))?;
        let path = place.to_str().and_then(|place| place.parse().ok());
        nics.push(PluggedNic { id: id.to_owned(), path });
    }
    nics.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(nics)
}

fn link(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{PREFIX}{id}"))
}

#[async_trait]
impl Hotplug for MockVm {
    async fn add_nic(&self, nic: &Nic, fds: NicFds) -> Result<Option<PciPath>, VmError> {
        self.perform_with(Step::AddNic, &nic.id).await?;
        let (taps, vhost) = nic.descriptors();
        fds.check(&nic.id, taps, vhost)?;
        let dir = &self.record.dir;
        let there = plugged(dir)?;
        if there.iter().any(|other| other.id == nic.id) {
            return Err(VmError::DuplicateNic { id: nic.id.clone() });
        }
        let slots = self.record.plug_slots;
        let mut paths = slots.into_iter().flat_map(|slots| slots.slots().map(move |slot| slots.path(slot)));
        let Some(path) = paths.find(|path| !there.iter().any(|other| other.path == *path)) else {
            let slots = slots.map_or(0, |slots| slots.count.into());
            return Err(VmError::NoFreeSlot { device: format!("network interface {}", nic.id), slots });
        };
        plug(dir, &nic.id, path.as_ref())?;
        Ok(path)
    }

    async fn remove_nic(&self, id: &str) -> Result<(), VmError> {
        self.perform_with(Step::RemoveNic, id).await?;
        unplug(&self.record.dir, id)
    }

    async fn nics(&self) -> Result<Vec<PluggedNic>, VmError> {
        plugged(&self.record.dir)
    }
}
