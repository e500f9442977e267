//! What a container uses, from the files of its cgroup (cgroup v2), in the protocol's structures.
//!
//! They were made for cgroup v1. Where v2 counts otherwise, it is converted as runc does: times in nanoseconds, swap
//! together with memory, an unlimited amount as the largest number (of processes: as 0). A controller that the guest
//! does not have gives no message.

use std::{collections::HashMap, fs, io};

use virtcontainers_agent_protocol::api::agent::{
    BlkioStats, BlkioStatsEntry, CgroupStats, CpuStats, CpuUsage, HugetlbStats, MemoryData, MemoryStats,
    NetworkStats, PidsStats, ThrottlingData,
};

use super::cgroup::Cgroup;
use crate::error::CallError;

/// Network interfaces in one answer.
const MAX_INTERFACES: usize = 256;

/// Devices in one answer.
const MAX_DEVICES: usize = 1024;

const INTERFACES: &str = "/proc/net/dev";

/// What the group uses.
///
/// # Errors
/// [`CallError::Io`] when a file cannot be read although it is there.
pub fn of(group: &Cgroup) -> Result<CgroupStats, CallError> {
    let files = Files(group);
    let mut stats = CgroupStats::new();
    stats.cpu_stats = files.processor()?.into();
    stats.memory_stats = files.memory()?.into();
    stats.pids_stats = files.pids()?.into();
    stats.blkio_stats = files.block_io()?.into();
    stats.hugetlb_stats = files.huge_pages()?;
    Ok(stats)
}

struct Files<'a>(&'a Cgroup);

impl Files<'_> {
    fn text(&self, file: &str) -> Result<Option<String>, CallError> {
        self.0.read(file).map_err(CallError::io("read", self.0.directory().join(file)))
    }

    /// A file with one number, or `max`.
    fn number(&self, file: &str) -> Result<Option<u64>, CallError> {
        Ok(self.text(file)?.and_then(|text| match text.trim() {
            "max" => Some(u64::MAX),
            number => number.parse().ok(),
        }))
    }

    /// A file with lines of a name and a number.
    fn table(&self, file: &str) -> Result<Option<HashMap<String, u64>>, CallError> {
        Ok(self.text(file)?.map(|text| table(&text)))
    }

    fn processor(&self) -> Result<Option<CpuStats>, CallError> {
        // The kernel counts times without the controller too.
        let Some(table) = self.table("cpu.stat")? else { return Ok(None) };
        let get = |name: &str| table.get(name).copied().unwrap_or(0);
        let nanoseconds = |name: &str| get(name).saturating_mul(1000);
        let mut usage = CpuUsage::new();
        usage.total_usage = nanoseconds("usage_usec");
        usage.usage_in_usermode = nanoseconds("user_usec");
        usage.usage_in_kernelmode = nanoseconds("system_usec");
        let mut stats = CpuStats::new();
        stats.cpu_usage = Some(usage).into();
        if table.contains_key("nr_periods") {
            let mut throttling = ThrottlingData::new();
            throttling.periods = get("nr_periods");
            throttling.throttled_periods = get("nr_throttled");
            throttling.throttled_time = nanoseconds("throttled_usec");
            stats.throttling_data = Some(throttling).into();
        }
        Ok(Some(stats))
    }

    fn memory(&self) -> Result<Option<MemoryStats>, CallError> {
        let Some(table) = self.table("memory.stat")? else { return Ok(None) };
        let usage = self.memory_data("memory", "max")?;
        let swap = self.memory_data("memory.swap", "fail")?;
        let mut stats = MemoryStats::new();
        stats.use_hierarchy = true;
        stats.cache = table.get("file").copied().unwrap_or(0);
        if let Some(kernel) = table.get("kernel") {
            let mut data = MemoryData::new();
            (data.usage, data.max_usage, data.limit) = (*kernel, *kernel, u64::MAX);
            stats.kernel_usage = Some(data).into();
        }
        if let Some((mut swap, memory)) = swap.zip(usage.as_ref()) {
            swap.usage = swap.usage.saturating_add(memory.usage);
            swap.max_usage = swap.max_usage.max(swap.usage);
            swap.limit = swap.limit.saturating_add(memory.limit);
            stats.swap_usage = Some(swap).into();
        }
        stats.usage = usage.into();
        stats.stats = table;
        Ok(Some(stats))
    }

    fn memory_data(&self, prefix: &str, failure: &str) -> Result<Option<MemoryData>, CallError> {
        let Some(usage) = self.number(&format!("{prefix}.current"))? else { return Ok(None) };
        let events = self.table(&format!("{prefix}.events"))?.unwrap_or_default();
        let mut data = MemoryData::new();
        data.usage = usage;
        data.limit = self.number(&format!("{prefix}.max"))?.unwrap_or(u64::MAX);
        // Kernels before 5.19 keep no peak: what is used now is the most that is known.
        data.max_usage = self.number(&format!("{prefix}.peak"))?.unwrap_or(usage);
        data.failcnt = events.get(failure).copied().unwrap_or(0);
        Ok(Some(data))
    }

    fn pids(&self) -> Result<Option<PidsStats>, CallError> {
        let Some(current) = self.number("pids.current")? else { return Ok(None) };
        let mut stats = PidsStats::new();
        stats.current = current;
        stats.limit = self.number("pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
        Ok(Some(stats))
    }

    fn block_io(&self) -> Result<Option<BlkioStats>, CallError> {
        let Some(text) = self.text("io.stat")? else { return Ok(None) };
        let mut stats = BlkioStats::new();
        for line in text.lines().take(MAX_DEVICES) {
            let Some((major, minor, values)) = device(line) else { continue };
            for value in values.split_whitespace() {
                let Some((name, value)) = value.split_once('=') else { continue };
                let (list, op) = match name {
                    "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
                    "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
                    "dbytes" => (&mut stats.io_service_bytes_recursive, "Discard"),
                    "rios" => (&mut stats.io_serviced_recursive, "Read"),
                    "wios" => (&mut stats.io_serviced_recursive, "Write"),
                    "dios" => (&mut stats.io_serviced_recursive, "Discard"),
                    _ => continue,
                };
                let Ok(value) = value.parse() else { continue };
                let op = op.to_owned();
                list.push(BlkioStatsEntry { major, minor, op, value, ..Default::default() });
            }
        }
        Ok(Some(stats))
    }

    fn huge_pages(&self) -> Result<HashMap<String, HugetlbStats>, CallError> {
        let mut all = HashMap::new();
        for size in self.page_sizes().map_err(CallError::io("list", self.0.directory()))? {
            let Some(usage) = self.number(&format!("hugetlb.{size}.current"))? else { continue };
            let events = self.table(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
            let mut stats = HugetlbStats::new();
            stats.usage = usage;
            // No peak is kept.
            stats.max_usage = usage;
            stats.failcnt = events.get("max").copied().unwrap_or(0);
            all.insert(size, stats);
        }
        Ok(all)
    }

    /// The sizes of huge pages for which the group has files, like `2MB`.
    fn page_sizes(&self) -> io::Result<Vec<String>> {
        let mut sizes = Vec::new();
        let entries = match fs::read_dir(self.0.directory()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(sizes),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let size = name.to_str().and_then(|name| name.strip_prefix("hugetlb.")?.strip_suffix(".current"));
            sizes.extend(size.filter(|size| !size.contains('.')).map(str::to_owned));
        }
        Ok(sizes)
    }
}

/// Lines of a name and a number; others are passed over.
pub(super) fn table(text: &str) -> HashMap<String, u64> {
    let entry = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// `8:0 rbytes=1 …` taken apart.
fn device(line: &str) -> Option<(u64, u64, &str)> {
    let (device, values) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?, values))
}

/// The guest's network interfaces but the loopback one: containers have no network of their own.
///
/// # Errors
/// [`CallError::Io`].
pub fn interfaces() -> Result<Vec<NetworkStats>, CallError> {
    let text = fs::read_to_string(INTERFACES).map_err(CallError::io("read", INTERFACES))?;
    Ok(interfaces_in(&text))
}

/// As [`interfaces`], from the text of `/proc/net/dev`.
#[must_use]
pub fn interfaces_in(text: &str) -> Vec<NetworkStats> {
    // Two lines of headings have no colon after a name.
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter_map(|(name, values)| interface(name.trim(), values)).take(MAX_INTERFACES).collect()
}

fn interface(name: &str, values: &str) -> Option<NetworkStats> {
    let values: Vec<u64> =
        values.split_whitespace().map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
    if name == "lo" || values.len() < 12 {
        return None;
    }
    let mut stats = NetworkStats::new();
    name.clone_into(&mut stats.name);
    (stats.rx_bytes, stats.rx_packets, stats.rx_errors, stats.rx_dropped) =
        (values[0], values[1], values[2], values[3]);
    (stats.tx_bytes, stats.tx_packets, stats.tx_errors, stats.tx_dropped) =
        (values[8], values[9], values[10], values[11]);
    Some(stats)
}
