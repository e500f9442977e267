//! The agent's own process.

use super::{TICK_MS, text::Text};

/// The fields of `/proc/<pid>/stat` after the name, as proc(5) calls them, and their places there.
const STAT: [(&str, usize); 11] = [
    ("ppid", 1),
    ("minflt", 7),
    ("cminflt", 8),
    ("majflt", 9),
    ("cmajflt", 10),
    ("utime", 11),
    ("stime", 12),
    ("cutime", 13),
    ("cstime", 14),
    ("num_threads", 17),
    ("vsize", 20),
];

pub(super) fn stat(text: &mut Text, stat: &str) {
    let Some((_, fields)) = stat.rsplit_once(") ") else { return };
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
    let of = |name: &str| STAT.iter().find(|(other, _)| *other == name).and_then(|(_, place)| field(*place));
    if let (Some(user), Some(system)) = (of("utime"), of("stime")) {
        let seconds = (user + system) * TICK_MS as f64 / 1000.0;
        text.one("kata_agent_total_time", "gauge", "Agent process total time", seconds);
    }
    if let Some(bytes) = of("vsize") {
        text.one("kata_agent_total_vm", "gauge", "Agent process total VM size", bytes);
    }
    if let Some(threads) = of("num_threads") {
        text.one("kata_agent_threads", "gauge", "Agent process threads", threads);
    }
    text.family("kata_agent_proc_stat", "gauge", "Agent process statistics");
    for (name, place) in STAT {
        if let Some(value) = field(place) {
            text.sample(&[("item", name)], value);
        }
    }
}

/// The lines with a size or a count; sizes in bytes.
pub(super) fn status(text: &mut Text, status: &str) {
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(amount);
    if let Some(bytes) = resident {
        text.one("kata_agent_total_rss", "gauge", "Agent process total RSS size", bytes);
    }
    text.family("kata_agent_proc_status", "gauge", "Agent process status");
    for line in status.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let is_wanted = name.starts_with("Vm") || name.starts_with("Rss") || name.ends_with("ctxt_switches");
        if let Some(value) = is_wanted.then(|| amount(rest)).flatten() {
            text.sample(&[("item", &name.to_ascii_lowercase())], value);
        }
    }
}

pub(super) fn io(text: &mut Text, io: &str) {
    text.family("kata_agent_io_stat", "gauge", "Agent process IO statistics");
    for line in io.lines() {
        if let Some((name, value)) = line.split_once(':').and_then(|(name, rest)| Some((name, amount(rest)?)))
        {
            text.sample(&[("item", name)], value);
        }
    }
}

/// A number, with `kB` after it in units of 1024.
pub(super) fn amount(text: &str) -> Option<f64> {
    let mut words = text.split_ascii_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    Some(if words.next() == Some("kB") { number * 1024.0 } else { number })
}
