//! Swap space that the host gives to the guest: `AddSwap`, `AddSwapPath`. The host has formatted it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use virtcontainers_agent_protocol::api::{
    Empty,
    agent::{AddSwapPathRequest, AddSwapRequest},
};

use super::{blocking, in_guest};
use crate::{agent::Agent, container::spec::is_plain, error::CallError, sys};

/// The root complex that virtio devices are behind.
const ROOT_COMPLEX: &str = "/sys/devices/pci0000:00";

/// The kernel module of virtio block devices.
const DRIVER: &str = "virtio_blk";

/// Bridges on the way to a device.
const MAX_PATH: usize = 32;

/// The highest device number on a PCI bus.
const MAX_SLOT: u32 = 31;

/// How long a device that was plugged in may take to show up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The device is named by its slots, from the root complex on.
pub(super) async fn add(agent: &Arc<Agent>, request: AddSwapRequest) -> Result<Empty, CallError> {
    in_guest(agent, "AddSwap")?;
    check(&request.PCIPath)?;
    if let Some(modules) = agent.modules().cloned() {
        let loaded = blocking(move || Ok(modules.probe(DRIVER, ""))).await;
        loaded.map_err(CallError::io("load the driver of", ROOT_COMPLEX))??;
    }
    let changes =
        sys::uevent::Uevents::open().map_err(CallError::io("watch for devices in", ROOT_COMPLEX))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(device) = block_device(Path::new(ROOT_COMPLEX), &request.PCIPath) {
            return swap_on(device).await;
        }
        match timeout_at(deadline, changes.next()).await {
            Ok(changed) => changed.map_err(CallError::io("watch for devices in", ROOT_COMPLEX))?,
            Err(_elapsed) => {
                let path = format!("a virtio block device at PCI path {:x?} to show up", request.PCIPath);
                return Err(CallError::Timeout(path));
            }
        }
    }
}

pub(super) async fn add_path(agent: &Arc<Agent>, request: AddSwapPathRequest) -> Result<Empty, CallError> {
    in_guest(agent, "AddSwapPath")?;
    let path = PathBuf::from(request.path);
    if !is_plain(&path) {
        let reason = format!("`{}` must be an absolute path without `..`", path.display());
        return Err(CallError::Invalid { field: "path", reason });
    }
    swap_on(path).await
}

async fn swap_on(path: PathBuf) -> Result<Empty, CallError> {
    let shown = path.clone();
    match blocking(move || sys::swap::on(&path)).await {
        Ok(()) => Ok(Empty::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CallError::NoFile(shown)),
        Err(error) => Err(CallError::io("swap to", shown)(error)),
    }
}

pub(crate) fn check(path: &[u32]) -> Result<(), CallError> {
    if path.is_empty() || path.len() > MAX_PATH || path.iter().any(|slot| *slot > MAX_SLOT) {
        let reason = format!("give 1 to {MAX_PATH} slots, each at most {MAX_SLOT}");
        return Err(CallError::Invalid { field: "PCIPath", reason });
    }
    Ok(())
}

/// The file of the virtio block device at `path` behind the root complex `complex` of sysfs, if it is there.
pub(crate) fn block_device(complex: &Path, path: &[u32]) -> Option<PathBuf> {
    let mut directory = complex.to_owned();
    for slot in path {
        directory = entry(&directory, |name| is_function(name, *slot))?;
    }
    let device = entry(&directory, |name| name.strip_prefix("virtio").is_some_and(is_number))?;
    let block = entry(&device.join("block"), |_| true)?;
    Some(Path::new("/dev").join(block.file_name()?))
}

/// Whether `name` (`<domain>:<bus>:<slot>.<function>`) is the first function in `slot`.
fn is_function(name: &str, slot: u32) -> bool {
    let parts = name.rsplit_once(':').and_then(|(bus, rest)| Some((bus, rest.split_once('.')?)));
    parts.is_some_and(|(bus, (device, function))| {
        bus.contains(':') && function == "0" && u32::from_str_radix(device, 16) == Ok(slot)
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn entry(directory: &Path, accept: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    entries
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&accept))
}
