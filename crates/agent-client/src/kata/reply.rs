//! What comes back. A guest is hostile: every count and every text has its bound here, a number that cannot be is an
//! error, and what may end up on a terminal carries nothing that steers it.
//!
//! The functions are public for whoever tests decoders; none panics, whatever the message.

mod network;

use std::collections::BTreeMap;

use virtcontainers_agent_protocol::api::{agent as wire, csi, health, virtcontainers as own};
use virtcontainers_types::{
    ContainerId,
    stats::{
        BlkioStatEntry, BlkioStats, CgroupStats, ContainerStats, CpuStats, CpuUsage, HugetlbStats,
        MemoryData, MemoryStats, NetworkStats, PidsStats, ThrottlingData,
    },
};

pub use self::network::{MAX_ADDRESSES, MAX_ROUTES, interfaces, routes, updated_interface, updated_routes};
use crate::{
    agent::{GuestDetails, GuestProcess, ProcessState, VolumeStats, VolumeUsage},
    error::{AgentError, guest_text, is_steering},
};

/// The longest name: of an interface, a counter, a handler, a terminal.
pub const MAX_NAME: usize = 256;
/// Processors of a guest.
pub const MAX_CPUS: usize = 8192;
/// Counters of `memory.stat`.
pub const MAX_MEMORY_COUNTERS: usize = 512;
/// Sizes of huge pages.
pub const MAX_PAGE_SIZES: usize = 64;
/// Entries of one list of block device counters.
pub const MAX_BLOCK_ENTRIES: usize = 4096;
/// Interfaces of a network namespace.
pub const MAX_INTERFACES: usize = 1024;
/// Processes of a container.
pub const MAX_PROCESSES: usize = 4096;
/// Words of one command line.
pub const MAX_WORDS: usize = 4096;
/// All words of one command line together, in bytes.
pub const MAX_COMMAND_LINE: usize = 16 << 10;
/// Handlers or features of an agent.
pub const MAX_HANDLERS: usize = 256;
/// A text of many lines: metrics or a log.
pub const MAX_TEXT: usize = 2 << 20;

/// A reply to one call, under examination.
#[derive(Clone, Copy)]
struct Reply(&'static str);

impl Reply {
    fn refuse(self, reason: String) -> AgentError {
        AgentError::Protocol { method: self.0, reason }
    }

    fn at_most(self, what: &str, count: usize, most: usize) -> Result<(), AgentError> {
        if count > most {
            return Err(self.refuse(format!("{count} {what} came, more than {most}")));
        }
        Ok(())
    }

    fn name(self, what: &str, name: &str) -> Result<String, AgentError> {
        self.at_most(&format!("bytes of {what}"), name.len(), MAX_NAME)?;
        Ok(guest_text(name))
    }

    fn names(self, what: &str, names: &[String]) -> Result<Vec<String>, AgentError> {
        self.at_most(what, names.len(), MAX_HANDLERS)?;
        names.iter().map(|name| self.name(what, name)).collect()
    }

    /// Keeps the ends of lines.
    fn text(self, text: String) -> Result<String, AgentError> {
        self.at_most("bytes of text", text.len(), MAX_TEXT)?;
        let steers = |c: char| is_steering(c) && !matches!(c, '\n' | '\t');
        Ok(if text.contains(steers) { text.replace(steers, " ") } else { text })
    }
}

/// Whether Check found an agent that serves.
///
/// # Errors
/// [`AgentError::NotReady`] if it does not yet; [`AgentError::Protocol`] for a reply that cannot be, here as below.
pub fn serving(message: health::HealthCheckResponse) -> Result<(), AgentError> {
    use health::health_check_response::ServingStatus;
    match message.status.enum_value() {
        Ok(ServingStatus::SERVING) => Ok(()),
        Ok(ServingStatus::UNKNOWN | ServingStatus::NOT_SERVING) => Err(AgentError::NotReady),
        Err(number) => Err(Reply("Check").refuse(format!("{number} is no serving status"))),
    }
}

/// What ReadStdout or ReadStderr brought of `asked` bytes.
///
/// # Errors
/// As above.
pub fn data(
    method: &'static str,
    message: wire::ReadStreamResponse,
    asked: u32,
) -> Result<Vec<u8>, AgentError> {
    let data = message.data;
    if data.len() as u64 <= u64::from(asked) {
        return Ok(data);
    }
    Err(Reply(method).refuse(format!("{} bytes came where {asked} were asked for", data.len())))
}

/// How much WriteStdin took of `sent` bytes.
///
/// # Errors
/// As above.
pub fn taken(message: wire::WriteStreamResponse, sent: usize) -> Result<usize, AgentError> {
    let len = message.len;
    match usize::try_from(len) {
        Ok(taken) if taken <= sent => Ok(taken),
        Ok(_) | Err(_) => Err(Reply("WriteStdin").refuse(format!("{len} of {sent} bytes were taken"))),
    }
}

/// What WaitProcess answered: an exit code.
///
/// # Errors
/// As above.
pub fn exit_status(status: i32) -> Result<i32, AgentError> {
    match status {
        0..=255 => Ok(status),
        _ => Err(Reply("WaitProcess").refuse(format!("{status} is no exit code"))),
    }
}

/// What StatsContainer answered.
///
/// # Errors
/// As above.
pub fn container_stats(message: wire::StatsContainerResponse) -> Result<ContainerStats, AgentError> {
    let reply = Reply("StatsContainer");
    reply.at_most("network interfaces", message.network_stats.len(), MAX_INTERFACES)?;
    let network = message.network_stats.into_iter().map(|stats| network_stats(reply, &stats));
    Ok(ContainerStats {
        network_stats: network.collect::<Result<_, _>>()?,
        cgroup_stats: cgroup_stats(reply, message.cgroup_stats.unwrap_or_default())?,
    })
}

fn cgroup_stats(reply: Reply, message: wire::CgroupStats) -> Result<CgroupStats, AgentError> {
    let pids = message.pids_stats.unwrap_or_default();
    reply.at_most("sizes of huge pages", message.hugetlb_stats.len(), MAX_PAGE_SIZES)?;
    let hugetlb = message.hugetlb_stats.into_iter().map(|(size, stats)| {
        let wire::HugetlbStats { usage, max_usage, failcnt, .. } = stats;
        Ok((reply.name("a page size", &size)?, HugetlbStats { usage, max_usage, failcnt }))
    });
    Ok(CgroupStats {
        hugetlb_stats: hugetlb.collect::<Result<_, AgentError>>()?,
        cpu_stats: cpu_stats(reply, message.cpu_stats.unwrap_or_default())?,
        memory_stats: memory_stats(reply, message.memory_stats.unwrap_or_default())?,
        pids_stats: PidsStats { current: pids.current, limit: pids.limit },
        blkio_stats: blkio_stats(reply, message.blkio_stats.unwrap_or_default())?,
    })
}

fn cpu_stats(reply: Reply, message: wire::CpuStats) -> Result<CpuStats, AgentError> {
    let usage = message.cpu_usage.unwrap_or_default();
    let throttling = message.throttling_data.unwrap_or_default();
    reply.at_most("processors", usage.percpu_usage.len(), MAX_CPUS)?;
    Ok(CpuStats {
        cpu_usage: CpuUsage {
            total_usage: usage.total_usage,
            percpu_usage: usage.percpu_usage,
            usage_in_kernelmode: usage.usage_in_kernelmode,
            usage_in_usermode: usage.usage_in_usermode,
        },
        throttling_data: ThrottlingData {
            periods: throttling.periods,
            throttled_periods: throttling.throttled_periods,
            throttled_time: throttling.throttled_time,
        },
    })
}

fn memory_stats(reply: Reply, message: wire::MemoryStats) -> Result<MemoryStats, AgentError> {
    reply.at_most("counters of memory", message.stats.len(), MAX_MEMORY_COUNTERS)?;
    let counters = message.stats.into_iter();
    let stats = counters.map(|(name, value)| Ok((reply.name("a counter's name", &name)?, value)));
    Ok(MemoryStats {
        stats: stats.collect::<Result<BTreeMap<_, _>, AgentError>>()?,
        cache: message.cache,
        usage: memory_data(message.usage.into_option()),
        swap_usage: memory_data(message.swap_usage.into_option()),
        kernel_usage: memory_data(message.kernel_usage.into_option()),
        kernel_tcp_usage: MemoryData::default(),
        use_hierarchy: message.use_hierarchy,
    })
}

fn memory_data(message: Option<wire::MemoryData>) -> MemoryData {
    let wire::MemoryData { usage, max_usage, failcnt, limit, .. } = message.unwrap_or_default();
    MemoryData { usage, max_usage, failcnt, limit }
}

fn blkio_stats(reply: Reply, message: wire::BlkioStats) -> Result<BlkioStats, AgentError> {
    let list = |entries: Vec<wire::BlkioStatsEntry>| {
        reply.at_most("counters of block devices", entries.len(), MAX_BLOCK_ENTRIES)?;
        let entry = |entry: wire::BlkioStatsEntry| {
            let wire::BlkioStatsEntry { major, minor, op, value, .. } = entry;
            Ok(BlkioStatEntry { major, minor, op: reply.name("an operation", &op)?, value })
        };
        entries.into_iter().map(entry).collect::<Result<Vec<_>, AgentError>>()
    };
    Ok(BlkioStats {
        io_service_bytes_recursive: list(message.io_service_bytes_recursive)?,
        io_serviced_recursive: list(message.io_serviced_recursive)?,
        io_queued_recursive: list(message.io_queued_recursive)?,
        io_service_time_recursive: list(message.io_service_time_recursive)?,
        io_wait_time_recursive: list(message.io_wait_time_recursive)?,
        io_merged_recursive: list(message.io_merged_recursive)?,
        io_time_recursive: list(message.io_time_recursive)?,
        sectors_recursive: list(message.sectors_recursive)?,
    })
}

fn network_stats(reply: Reply, message: &wire::NetworkStats) -> Result<NetworkStats, AgentError> {
    Ok(NetworkStats {
        name: reply.name("an interface's name", &message.name)?,
        rx_bytes: message.rx_bytes,
        rx_packets: message.rx_packets,
        rx_errors: message.rx_errors,
        rx_dropped: message.rx_dropped,
        tx_bytes: message.tx_bytes,
        tx_packets: message.tx_packets,
        tx_errors: message.tx_errors,
        tx_dropped: message.tx_dropped,
    })
}

/// What ListProcesses answered.
///
/// # Errors
/// As above.
pub fn processes(message: own::ListProcessesResponse) -> Result<Vec<GuestProcess>, AgentError> {
    let reply = Reply("ListProcesses");
    reply.at_most("processes", message.processes.len(), MAX_PROCESSES)?;
    if message.truncated {
        tracing::warn!(
            shown = message.processes.len(),
            "a container has more processes than its guest lists"
        );
    }
    message.processes.into_iter().map(|message| process(reply, message)).collect()
}

fn process(reply: Reply, message: own::Process) -> Result<GuestProcess, AgentError> {
    let mut letters = message.state.chars();
    let state = letters.next().filter(|_| letters.next().is_none()).and_then(ProcessState::from_letter);
    let Some(state) = state else {
        return Err(reply.refuse(format!("{:?} is no state of a process", short(&message.state))));
    };
    if message.pid == 0 {
        return Err(reply.refuse("a process has the number 0".to_owned()));
    }
    reply.at_most("words of a command line", message.args.len(), MAX_WORDS)?;
    let length = message.args.iter().map(String::len).sum();
    reply.at_most("bytes of a command line", length, MAX_COMMAND_LINE)?;
    Ok(GuestProcess {
        pid: message.pid,
        container_pid: message.container_pid,
        ppid: message.ppid,
        container_ppid: message.container_ppid,
        uid: message.uid,
        gid: message.gid,
        state,
        tty: reply.name("a terminal's name", &message.tty)?,
        start_time_ms: message.start_time_ms,
        cpu_ms: message.cpu_ms,
        rss_bytes: message.rss_bytes,
        vsize_bytes: message.vsize_bytes,
        threads: message.threads,
        comm: reply.name("a command's name", &message.comm)?,
        args: message.args.iter().map(|word| guest_text(word)).collect(),
    })
}

/// What GetOOMEvent answered.
///
/// # Errors
/// As above.
pub fn oom_event(message: wire::OOMEvent) -> Result<ContainerId, AgentError> {
    ContainerId::new(message.container_id)
        .map_err(|error| Reply("GetOOMEvent").refuse(guest_text(&error.to_string())))
}

/// What GetMetrics answered.
///
/// # Errors
/// As above.
pub fn metrics(message: wire::Metrics) -> Result<String, AgentError> {
    Reply("GetMetrics").text(message.metrics)
}

/// What GetDiagnosticData answered.
///
/// # Errors
/// As above.
pub fn diagnostic_data(message: wire::GetDiagnosticDataResponse) -> Result<String, AgentError> {
    Reply("GetDiagnosticData").text(message.data)
}

/// What GetVolumeStats answered. A usage in a unit that the guest does not name is left out.
///
/// # Errors
/// As above.
pub fn volume_stats(message: csi::VolumeStatsResponse) -> Result<VolumeStats, AgentError> {
    use csi::volume_usage::Unit;
    let reply = Reply("GetVolumeStats");
    let mut stats = VolumeStats::default();
    for usage in message.usage {
        let unit = match usage.unit.enum_value() {
            Ok(Unit::BYTES) => &mut stats.bytes,
            Ok(Unit::INODES) => &mut stats.inodes,
            Ok(Unit::UNKNOWN) => continue,
            Err(number) => return Err(reply.refuse(format!("{number} is no unit of a volume"))),
        };
        let (total, used, available) = (usage.total, usage.used, usage.available);
        if unit.replace(VolumeUsage { total, used, available }).is_some() {
            return Err(reply.refuse("two usages of one volume have the same unit".to_owned()));
        }
    }
    let condition = message.volume_condition.unwrap_or_default();
    stats.abnormal = condition.abnormal.then(|| guest_text(&condition.message));
    Ok(stats)
}

/// What GetGuestDetails answered.
///
/// # Errors
/// As above.
pub fn guest_details(message: wire::GuestDetailsResponse) -> Result<GuestDetails, AgentError> {
    let reply = Reply("GetGuestDetails");
    let mem_block_size = message.mem_block_size_bytes;
    if mem_block_size != 0 && !mem_block_size.is_power_of_two() {
        return Err(reply.refuse(format!("{mem_block_size} bytes are no block of memory")));
    }
    let agent = message.agent_details.unwrap_or_default();
    Ok(GuestDetails {
        mem_block_size,
        mem_hotplug_probe: message.support_mem_hotplug_probe,
        agent_version: reply.name("a version", &agent.version)?,
        init_daemon: agent.init_daemon,
        supports_seccomp: agent.supports_seccomp,
        device_handlers: reply.names("device handlers", &agent.device_handlers)?,
        storage_handlers: reply.names("storage handlers", &agent.storage_handlers)?,
        extra_features: reply.names("extra features", &agent.extra_features)?,
    })
}

fn short(text: &str) -> String {
    guest_text(text).chars().take(16).collect()
}
