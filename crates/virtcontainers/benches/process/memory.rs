//! What the agent holds, as the guest's kernel counts it; and this process, whose library drives it.

use std::fs;

use virtcontainers::DeleteMode;

use crate::{Failure, figures::Table, stage::Stage, verdict};

/// KiB of the agent when nothing runs but one container, and what each further one may add.
const IDLE: u64 = 6 << 10;
const EACH: u64 = 1 << 10;
/// How many further containers are started.
const CONTAINERS: u64 = 10;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    resident_kib: u64,
    descriptors: u64,
    /// Processes of the whole guest, or of this process's children.
    tasks: u64,
}

pub(crate) async fn measure(stage: &Stage) -> Result<(), Failure> {
    let before = of_agent(stage).await?;
    let mut made = Vec::new();
    for index in 0..CONTAINERS {
        let container = stage.sandbox().create_container(stage.further(&format!("more-{index}"))).await?;
        container.start().await?;
        made.push(container);
    }
    let after = of_agent(stage).await?;
    for container in made {
        container.delete(DeleteMode::Force).await?;
    }
    let each = after.resident_kib.saturating_sub(before.resident_kib) / CONTAINERS;
    println!(
        "  agent, resident: {} KiB with one container, target {IDLE}: {}",
        before.resident_kib,
        verdict(before.resident_kib <= IDLE)
    );
    println!("  and {each} KiB for each of {CONTAINERS} more, target {EACH}: {}", verdict(each <= EACH));
    Ok(())
}

/// Asked of the agent's metrics.
pub(crate) async fn of_agent(stage: &Stage) -> Result<Held, Failure> {
    Ok(Held {
        resident_kib: metric(stage, "kata_agent_total_rss").await? >> 10,
        descriptors: metric(stage, "kata_agent_process_open_fds").await?,
        tasks: metric(stage, "kata_guest_tasks{item=\"max\"}").await?,
    })
}

/// One of the agent's metrics; those of what has not happened yet are absent, and 0.
pub(crate) async fn metric(stage: &Stage, name: &str) -> Result<u64, Failure> {
    let metrics = stage.agent.metrics().await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value: f64 = line.unwrap_or("0").trim().parse()?;
    Ok(value as u64)
}

pub(crate) fn of_this_process() -> Result<Held, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let children = fs::read_to_string("/proc/thread-self/children")?;
    Ok(Held {
        resident_kib: resident.ok_or("no VmRSS in /proc/self/status")?.parse()?,
        descriptors: fs::read_dir("/proc/self/fd")?.count() as u64,
        tasks: children.split_whitespace().count() as u64,
    })
}

pub(crate) fn print_both(agent: Held, agent_after: Held, host: Held, host_after: Held) {
    let mut table = Table::new(["", "before", "after"]);
    let mut line = |name: &str, before: u64, after: u64| {
        table.line([name.to_owned(), before.to_string(), after.to_string()]);
    };
    line("agent, resident KiB", agent.resident_kib, agent_after.resident_kib);
    line("agent, descriptors", agent.descriptors, agent_after.descriptors);
    line("guest, processes", agent.tasks, agent_after.tasks);
    line("this process, resident KiB", host.resident_kib, host_after.resident_kib);
    line("this process, descriptors", host.descriptors, host_after.descriptors);
    line("this process, children", host.tasks, host_after.tasks);
    table.print();
}
