//! What containers and sandboxes use, in the reference document's structures and under its JSON names.
//!
//! Counters count from a container's creation. A number that a guest's kernel does not tell is 0. Sizes are in
//! bytes and times in nanoseconds, unless a field says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one container uses (`ContainerStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStats {
    /// What its control group has counted.
    pub cgroup_stats: CgroupStats,
    /// What each interface of its network namespace has carried.
    pub network_stats: Vec<NetworkStats>,
}

/// What one sandbox uses on the host (`SandboxStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxStats {
    /// What its processes on the host use: the virtual machine and its helpers.
    pub cgroup_stats: CgroupStats,
    /// How many processors its virtual machine has.
    pub cpus: u32,
}

/// What a control group has counted (`CgroupStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupStats {
    /// Processor time.
    pub cpu_stats: CpuStats,
    /// Memory.
    pub memory_stats: MemoryStats,
    /// Processes and threads.
    pub pids_stats: PidsStats,
    /// Block devices.
    pub blkio_stats: BlkioStats,
    /// Huge pages, by page size as the kernel writes it (`2MB`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hugetlb_stats: BTreeMap<String, HugetlbStats>,
}

/// Processor time (`CPUStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// What was used.
    pub cpu_usage: CpuUsage,
    /// What was held back by a limit.
    pub throttling_data: ThrottlingData,
}

/// Processor time that was used, in nanoseconds (`CPUUsage`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// On all processors together.
    pub total_usage: u64,
    /// On each processor; empty where the kernel does not tell, as with cgroup v2.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_usage: Vec<u64>,
    /// In the kernel.
    pub usage_in_kernelmode: u64,
    /// Outside of it.
    pub usage_in_usermode: u64,
}

/// How a limit of processor time has held back (`ThrottlingData`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods in which something ran.
    pub periods: u64,
    /// Periods in which the limit was met.
    pub throttled_periods: u64,
    /// How long something was held back, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory (`MemoryStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Cached pages of files, in bytes.
    pub cache: u64,
    /// All memory that is accounted for.
    pub usage: MemoryData,
    /// Swap.
    pub swap_usage: MemoryData,
    /// Memory of the kernel on behalf of the group.
    pub kernel_usage: MemoryData,
    /// Buffers of TCP connections. The agent protocol does not carry it: 0 for a container in a guest.
    pub kernel_tcp_usage: MemoryData,
    /// Whether groups below are accounted for as well.
    pub use_hierarchy: bool,
    /// The kernel's `memory.stat`, under its own names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stats: BTreeMap<String, u64>,
}

/// One sort of memory (`MemoryData`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryData {
    /// In use, in bytes.
    pub usage: u64,
    /// The most that was in use at a time, in bytes.
    pub max_usage: u64,
    /// How often the limit was met.
    pub failcnt: u64,
    /// The limit in bytes; [`UNLIMITED`](Self::UNLIMITED) where there is none.
    pub limit: u64,
}

impl MemoryData {
    /// The limit that means none.
    pub const UNLIMITED: u64 = u64::MAX;
}

/// Processes and threads (`PidsStats`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; 0 where there is no limit.
    pub limit: u64,
}

/// Block devices (`BlkioStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes transferred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioStatEntry>,
    /// Operations done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioStatEntry>,
    /// Operations that wait (the reference document's JSON calls them `io_queue_recursive`).
    #[serde(rename = "io_queue_recursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlkioStatEntry>,
    /// Time from the start of operations to their end, in nanoseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioStatEntry>,
    /// Time that operations have waited, in nanoseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioStatEntry>,
    /// Operations merged into others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioStatEntry>,
    /// Time that a device was held, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioStatEntry>,
    /// Sectors transferred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioStatEntry>,
}

/// One number about one block device (`BlkioStatEntry`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStatEntry {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// The sort of operation, for example `Read` or `Write`; empty where it makes no difference.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The number.
    pub value: u64,
}

/// Huge pages of one size (`HugetlbStats`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugetlbStats {
    /// In use, in bytes.
    pub usage: u64,
    /// The most that was in use at a time, in bytes.
    pub max_usage: u64,
    /// How often there was none to be had.
    pub failcnt: u64,
}

/// One network interface (`NetworkStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// The interface's name.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets that came broken.
    pub rx_errors: u64,
    /// Packets that came and were dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets that were dropped instead of sent.
    pub tx_dropped: u64,
}
