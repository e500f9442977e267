//! `virtc stats`: what containers use, once or again and again.

use virtcontainers::{ContainerId, ContainerStats, stats::MemoryData};

use super::open;
use crate::{
    cli::{Global, StatsArgs},
    error::CliError,
    exit::Exit,
    output,
    screen::{self, Screen, Turn},
    table,
    target::Target,
    usage::{Observed, Observer, percent_text},
};

const HEADINGS: [&str; 6] = ["CONTAINER", "CPU", "MEMORY / LIMIT", "NET IN / OUT", "BLOCK IN / OUT", "PIDS"];

pub(super) async fn run(global: &Global, args: StatsArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    for target in &args.targets {
        // A name of nothing is told at once, and not shown as an empty table.
        match target.container() {
            None => drop(runtime.sandbox_status(&target.sandbox).await?),
            Some(container) => drop(runtime.container_status(&target.sandbox, container).await?),
        }
    }
    let mut watch = Watch { observer: Observer::new(runtime), targets: args.targets };
    if global.json {
        output::json(&watch.look().await?.iter().flat_map(|seen| watch.json(seen)).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if args.refresh.no_stream || !screen::is_possible() {
        watch.rows().await?;
        // Shares of processor time are those between two looks.
        tokio::time::sleep(args.refresh.interval).await;
        output::table(HEADINGS, &watch.rows().await?)?;
        return Ok(Exit::Done);
    }
    let mut screen = Screen::open(args.refresh.interval)?;
    let mut rows = Vec::new();
    loop {
        match screen.turn().await {
            Turn::Leave => return Ok(Exit::Done),
            Turn::Look => rows = watch.rows().await?,
            Turn::Draw | Turn::Key(_) => {}
        }
        screen.draw("virtc stats: q leaves", |width| table::lines(HEADINGS, &rows, Some(width)))?;
    }
}

/// Which containers are looked at.
struct Watch {
    observer: Observer,
    targets: Vec<Target>,
}

impl Watch {
    async fn look(&mut self) -> Result<Vec<Observed>, CliError> {
        let targets = &self.targets;
        self.observer
            .look(|name| targets.is_empty() || targets.iter().any(|target| target.sandbox.as_str() == name))
            .await
    }

    async fn rows(&mut self) -> Result<Vec<[String; 6]>, CliError> {
        let mut rows = Vec::new();
        for seen in self.look().await? {
            for (container, stats) in self.containers(&seen) {
                let name = format!("{}/{container}", seen.name);
                let used = stats.cgroup_stats.cpu_stats.cpu_usage.total_usage;
                let cpu = percent_text(self.observer.percent(&name, &seen, used));
                rows.push(row(name, cpu, stats));
            }
        }
        Ok(rows)
    }

    /// The wanted containers of a sandbox.
    fn containers<'o>(&self, seen: &'o Observed) -> Vec<&'o (ContainerId, ContainerStats)> {
        let wanted = |id: &ContainerId| {
            let of_sandbox = |target: &&Target| target.sandbox.as_str() == seen.name;
            self.targets.is_empty()
                || self
                    .targets
                    .iter()
                    .filter(of_sandbox)
                    .any(|target| target.container().is_none_or(|named| named == id))
        };
        seen.stats.iter().flat_map(|(_, containers)| containers).filter(|(id, _)| wanted(id)).collect()
    }

    fn json(&self, seen: &Observed) -> Vec<serde_json::Value> {
        let value = |(container, stats): &&(ContainerId, ContainerStats)| serde_json::json!({ "sandbox": seen.name, "container": container, "stats": stats });
        self.containers(seen).iter().map(value).collect()
    }
}

fn row(name: String, cpu: String, stats: &ContainerStats) -> [String; 6] {
    let group = &stats.cgroup_stats;
    let MemoryData { usage, limit, .. } = group.memory_stats.usage;
    // What the kernel can take back at once is nobody's need.
    let reclaimable = group.memory_stats.stats.get("inactive_file").copied().unwrap_or(0);
    let used = output::size(usage.saturating_sub(reclaimable));
    let limit =
        if limit == MemoryData::UNLIMITED || limit == 0 { "-".to_owned() } else { output::size(limit) };
    let (mut received, mut sent) = (0_u64, 0_u64);
    for interface in &stats.network_stats {
        received = received.saturating_add(interface.rx_bytes);
        sent = sent.saturating_add(interface.tx_bytes);
    }
    let blocks = |operation: &str| {
        let entries = group.blkio_stats.io_service_bytes_recursive.iter();
        entries
            .filter(|entry| entry.op.eq_ignore_ascii_case(operation))
            .fold(0_u64, |sum, entry| sum.saturating_add(entry.value))
    };
    [
        name,
        cpu,
        format!("{used} / {limit}"),
        format!("{} / {}", output::size(received), output::size(sent)),
        format!("{} / {}", output::size(blocks("read")), output::size(blocks("write"))),
        group.pids_stats.current.to_string(),
    ]
}
