//! What is plugged in while the guest runs: `OnlineCPUMem`, `MemHotplugByProbe`.
//!
//! A new processor or block of memory shows up in sysfs and stays offline until somebody writes to its `online` file
//! (the kernel's documents cpu_hotplug and memory-hotplug). Groups need no help: in cgroup v2 the effective processors of a
//! `cpuset` follow those that are online.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use virtcontainers_agent_protocol::api::{
    Empty,
    agent::{MemHotplugByProbeRequest, OnlineCPUMemRequest},
};
use virtcontainers_sys::task;

use super::in_guest;
use crate::{agent::Agent, error::CallError, sys::uevent::Uevents};

/// Where the kernel shows processors and memory.
const SYSTEM: &str = "/sys/devices/system";

/// How long what was plugged in may take to show up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Addresses in one request.
const MAX_PROBES: usize = 4096;

/// `nb_cpus` is how many processors shall be online in all, as kata-agent has it.
pub(super) async fn online(agent: &Arc<Agent>, request: OnlineCPUMemRequest) -> Result<Empty, CallError> {
    in_guest(agent, "OnlineCPUMem")?;
    let wanted = Wanted { root: SYSTEM.into(), cpus: count(request.nb_cpus), memory: !request.cpu_only };
    wanted.check()?;
    let changes = Uevents::open().map_err(CallError::io("watch for devices in", SYSTEM))?;
    if wanted.pass()?.is_some() {
        let rest = wanted.complete(changes, Instant::now() + PATIENCE);
        if request.wait {
            rest.await?;
        } else {
            // The caller has its answer, and the log what becomes of it.
            let rest = async {
                if let Err(error) = rest.await {
                    tracing::warn!(%error, "OnlineCPUMem");
                }
            };
            task::spawn("OnlineCPUMem", rest).detach();
        }
    }
    Ok(Empty::new())
}

/// Has the kernel look for memory at the given physical addresses, each that of a block.
pub(super) async fn probe(agent: &Arc<Agent>, request: MemHotplugByProbeRequest) -> Result<Empty, CallError> {
    in_guest(agent, "MemHotplugByProbe")?;
    probe_in(&Path::new(SYSTEM).join("memory"), &request.memHotplugProbeAddr).map(|()| Empty::new())
}

pub(crate) fn probe_in(memory: &Path, addresses: &[u64]) -> Result<(), CallError> {
    if addresses.len() > MAX_PROBES {
        return Err(CallError::TooMany { what: "addresses in one MemHotplugByProbe", limit: MAX_PROBES });
    }
    let probe = memory.join("probe");
    if !probe.exists() {
        return Err(CallError::NotBuilt("MemHotplugByProbe without the kernel's memory probe file"));
    }
    let block = block_size(memory);
    if let Some(odd) = addresses.iter().find(|address| block.is_some_and(|block| *address % block != 0)) {
        let reason = format!("{odd:#x} is not where a block of memory begins");
        return Err(CallError::Invalid { field: "memHotplugProbeAddr", reason });
    }
    for address in addresses {
        fs::write(&probe, format!("{address:#x}")).map_err(CallError::io("probe for memory with", &probe))?;
    }
    Ok(())
}

/// The size of a block of memory; none on a kernel without memory hotplug.
pub(super) fn block_size(memory: &Path) -> Option<u64> {
    let text = fs::read_to_string(memory.join("block_size_bytes")).ok()?;
    u64::from_str_radix(text.trim(), 16).ok().filter(|size| *size > 0)
}

/// What shall be online.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// [`SYSTEM`].
    pub(crate) root: PathBuf,
    /// Processors in all; 0 for as they are.
    pub(crate) cpus: usize,
    /// All memory.
    pub(crate) memory: bool,
}

impl Wanted {
    pub(crate) fn check(&self) -> Result<(), CallError> {
        let possible = self.cpus_in("possible")?;
        if self.cpus > possible {
            let reason = format!("this guest can have {possible} processors at most, not {}", self.cpus);
            return Err(CallError::Invalid { field: "nb_cpus", reason });
        }
        Ok(())
    }

    /// Puts online what is there; what is still missing then, if anything.
    pub(crate) fn pass(&self) -> Result<Option<String>, CallError> {
        let online = self.cpus_in("online")?;
        let mut missing = None;
        if self.cpus > online {
            let cpu = self.root.join("cpu");
            put_online(&cpu, "cpu", self.cpus - online)
                .map_err(CallError::io("put processors online in", cpu))?;
            let online = self.cpus_in("online")?;
            if online < self.cpus {
                missing = Some(format!("processors: {online} of {} are online", self.cpus));
            }
        }
        let memory = self.root.join("memory");
        if self.memory && memory.is_dir() {
            let left = put_online(&memory, "memory", usize::MAX);
            let left = left.map_err(CallError::io("put memory online in", memory))?;
            if left > 0 {
                missing = Some(format!("memory: {left} blocks are offline"));
            }
        }
        Ok(missing)
    }

    async fn complete(self, changes: Uevents, deadline: Instant) -> Result<(), CallError> {
        while let Some(missing) = self.pass()? {
            match timeout_at(deadline, changes.next()).await {
                Ok(changed) => changed.map_err(CallError::io("watch for devices in", SYSTEM))?,
                Err(_elapsed) => return Err(CallError::Timeout(missing)),
            }
        }
        Ok(())
    }

    fn cpus_in(&self, set: &str) -> Result<usize, CallError> {
        let path = self.root.join("cpu").join(set);
        let list = fs::read_to_string(&path).map_err(CallError::io("read", &path))?;
        Ok(cpus_of_list(&list))
    }
}

/// Writes 1 to the `online` files below `directory/<kind><number>` that hold 0, at most `limit` of them; how many
/// would not change.
fn put_online(directory: &Path, kind: &str, limit: usize) -> io::Result<usize> {
    let mut offline: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix(kind)).and_then(|rest| rest.parse().ok());
        let Some(number) = number else { continue };
        let file = entry.path().join("online");
        // The first processor may have no such file: it cannot be offline.
        if fs::read_to_string(&file).is_ok_and(|state| state.trim() == "0") {
            offline.push((number, file));
        }
    }
    offline.sort_unstable();
    let refused = offline.iter().take(limit).filter(|(_, file)| match fs::write(file, "1") {
        Ok(()) => false,
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "stays offline");
            true
        }
    });
    Ok(refused.count())
}

/// How many processors a list of the kernel's (`0-3,6`) names.
pub(crate) fn cpus_of_list(list: &str) -> usize {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.fold(0, usize::saturating_add)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
