//! The guest's kernel.

use super::{TICK_MS, agent::amount, text::Text};

/// Disks, interfaces and processors of which each are told.
const MAX_DEVICES: usize = 256;

pub(super) fn load(text: &mut Text, loadavg: &str) {
    let words: Vec<&str> = loadavg.split_ascii_whitespace().collect();
    text.family("kata_guest_load", "gauge", "Guest system load");
    for (item, word) in ["load1", "load5", "load15"].iter().zip(&words) {
        sample(text, &[("item", item)], word);
    }
    if let Some((current, all)) = words.get(3).and_then(|tasks| tasks.split_once('/')) {
        text.family("kata_guest_tasks", "gauge", "Guest tasks");
        sample(text, &[("item", "cur")], current);
        sample(text, &[("item", "max")], all);
    }
}

pub(super) fn cpu(text: &mut Text, stat: &str) {
    const ITEMS: [&str; 10] =
        ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
    text.family("kata_guest_cpu_time", "gauge", "Guest CPU statistics in milliseconds");
    for line in stat.lines().take(1 + MAX_DEVICES) {
        let mut words = line.split_ascii_whitespace();
        let Some(number) = words.next().and_then(|name| name.strip_prefix("cpu")) else { break };
        let cpu = if number.is_empty() { "total" } else { number };
        for (item, word) in ITEMS.iter().zip(words) {
            if let Ok(ticks) = word.parse::<u64>() {
                text.sample(&[("cpu", cpu), ("item", item)], ticks.saturating_mul(TICK_MS) as f64);
            }
        }
    }
}

pub(super) fn memory(text: &mut Text, meminfo: &str) {
    text.family("kata_guest_meminfo", "gauge", "Statistics about memory usage in the system");
    for line in meminfo.lines() {
        if let Some((name, value)) = line.split_once(':').and_then(|(name, rest)| Some((name, amount(rest)?)))
        {
            text.sample(&[("item", &snake(name))], value);
        }
    }
}

pub(super) fn virtual_memory(text: &mut Text, vmstat: &str) {
    text.family("kata_guest_vm_stat", "gauge", "Guest virtual memory statistics");
    for (name, value) in vmstat.lines().filter_map(|line| line.split_once(' ')) {
        sample(text, &[("item", name)], value);
    }
}

pub(super) fn network(text: &mut Text, dev: &str) {
    const ITEMS: [&str; 16] = [
        "recv_bytes",
        "recv_packets",
        "recv_errs",
        "recv_drop",
        "recv_fifo",
        "recv_frame",
        "recv_compressed",
        "recv_multicast",
        "sent_bytes",
        "sent_packets",
        "sent_errs",
        "sent_drop",
        "sent_fifo",
        "sent_colls",
        "sent_carrier",
        "sent_compressed",
    ];
    text.family("kata_guest_netdev_stat", "gauge", "Guest net devices statistics");
    let interfaces = dev.lines().filter_map(|line| line.rsplit_once(':'));
    for (interface, numbers) in interfaces.take(MAX_DEVICES) {
        for (item, word) in ITEMS.iter().zip(numbers.split_ascii_whitespace()) {
            sample(text, &[("interface", interface.trim()), ("item", item)], word);
        }
    }
}

pub(super) fn disks(text: &mut Text, diskstats: &str) {
    const ITEMS: [&str; 17] = [
        "reads",
        "merged",
        "sectors_read",
        "time_reading",
        "writes",
        "writes_merged",
        "sectors_written",
        "time_writing",
        "in_progress",
        "time_in_progress",
        "weighted_time_in_progress",
        "discards",
        "discards_merged",
        "sectors_discarded",
        "time_discarding",
        "flushes",
        "time_flushing",
    ];
    text.family("kata_guest_diskstat", "gauge", "Disks statistics in system");
    for line in diskstats.lines().take(MAX_DEVICES) {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(disk) = words.next() else { continue };
        for (item, word) in ITEMS.iter().zip(words) {
            sample(text, &[("disk", disk), ("item", item)], word);
        }
    }
}

fn sample(text: &mut Text, labels: &[(&str, &str)], word: &str) {
    if let Ok(value) = word.parse() {
        text.sample(labels, value);
    }
}

/// `MemTotal` as `mem_total`, `Active(anon)` as `active_anon`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut after_small = false;
    for character in name.chars() {
        if character == ')' {
            continue;
        }
        let is_separator = character == '(' || character == '_';
        if is_separator || (character.is_ascii_uppercase() && after_small) {
            snake.push('_');
        }
        if !is_separator {
            snake.push(character.to_ascii_lowercase());
        }
        after_small = character.is_ascii_lowercase();
    }
    snake
}
