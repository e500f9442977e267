//! `GetMetrics`: how the agent and its guest are, as Prometheus text with kata-agent's names.
//!
//! | metric | from |
//! |---|---|
//! | `kata_agent_total_time`, `_total_vm`, `_total_rss`, `_threads`, `_proc_stat`, `_proc_status` | `/proc/self` |
//! | `kata_agent_process_open_fds` | `/proc/self/fd` |
//! | `kata_agent_io_stat` | `/proc/self/io` |
//! | `kata_agent_scrape_count`, `kata_agent_calls_total` | the agent's own counters; the latter is ours alone |
//! | `kata_guest_load`, `_tasks` | `/proc/loadavg` |
//! | `kata_guest_cpu_time` | `/proc/stat`, in milliseconds |
//! | `kata_guest_meminfo` | `/proc/meminfo`, in bytes |
//! | `kata_guest_vm_stat` | `/proc/vmstat` |
//! | `kata_guest_netdev_stat` | `/proc/net/dev` |
//! | `kata_guest_diskstat` | `/proc/diskstats` |
//!
//! A file that the kernel does not have leaves its metrics out.

mod agent;
mod guest;
mod text;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use text::Text;

/// The kernel's tick for processes (`USER_HZ`), in milliseconds.
const TICK_MS: u64 = 10;

/// How often each call was answered. The names are the protocol's: there are no more than it has calls and codes.
static CALLS: Mutex<BTreeMap<(&'static str, &'static str), u64>> = Mutex::new(BTreeMap::new());

static SCRAPES: AtomicU64 = AtomicU64::new(0);

/// Counts an answer to `call`, by how it ended.
pub fn count(call: &'static str, is_ok: bool) {
    let result = if is_ok { "ok" } else { "error" };
    *CALLS.lock().unwrap_or_else(PoisonError::into_inner).entry((call, result)).or_default() += 1;
}

/// The metrics of this process and of the kernel whose `/proc` is `proc`.
#[must_use]
pub fn collect(proc: &Path) -> String {
    let read = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
    let mut text = Text::default();
    let scrapes = SCRAPES.fetch_add(1, Ordering::Relaxed) + 1;
    text.one("kata_agent_scrape_count", "counter", "Metrics scrape count", scrapes as f64);
    text.family("kata_agent_calls_total", "counter", "Answered calls");
    for ((call, result), number) in CALLS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        text.sample(&[("call", call), ("result", result)], *number as f64);
    }
    agent::stat(&mut text, &read("self/stat"));
    agent::status(&mut text, &read("self/status"));
    if let Ok(open) = fs::read_dir(proc.join("self/fd")) {
        text.one(
            "kata_agent_process_open_fds",
            "gauge",
            "Agent process open descriptors",
            open.count() as f64,
        );
    }
    agent::io(&mut text, &read("self/io"));
    guest::load(&mut text, &read("loadavg"));
    guest::cpu(&mut text, &read("stat"));
    guest::memory(&mut text, &read("meminfo"));
    guest::virtual_memory(&mut text, &read("vmstat"));
    guest::network(&mut text, &read("net/dev"));
    guest::disks(&mut text, &read("diskstats"));
    text.finish()
}
