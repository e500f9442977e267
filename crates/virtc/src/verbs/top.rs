//! `virtc top`: what all sandboxes of this host use, once or again and again.

use std::{cmp::Ordering, time::SystemTime};

use serde::Serialize;
use virtcontainers::{ContainerState, Runtime, SandboxState};

use super::open;
use crate::{
    cli::{Global, Order, TopArgs},
    error::CliError,
    exit::Exit,
    output,
    screen::{self, Screen, Turn},
    table,
    usage::{Observed, Observer, percent_text},
};

const HEADINGS: [&str; 7] = ["SANDBOX", "STATE", "CPU", "MEMORY", "PIDS", "CONTAINERS", "AGE"];

pub(super) async fn run(global: &Global, args: TopArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let mut watch = Watch { observer: Observer::new(runtime.clone()), seen: Vec::new(), order: args.sort };
    if global.json || args.refresh.no_stream || !screen::is_possible() {
        watch.look().await?;
        // Shares of processor time are those between two looks.
        tokio::time::sleep(args.refresh.interval).await;
        watch.look().await?;
        if global.json {
            output::json(&watch.seen)?;
        } else {
            output::table(HEADINGS, &watch.rows())?;
        }
        return Ok(Exit::Done);
    }
    live(watch, &runtime, args.refresh.interval).await
}

async fn live(mut watch: Watch, runtime: &Runtime, interval: std::time::Duration) -> Result<Exit, CliError> {
    let mut screen = Screen::open(interval)?;
    loop {
        match screen.turn().await {
            Turn::Leave => return Ok(Exit::Done),
            Turn::Look => watch.look().await?,
            Turn::Draw => {}
            Turn::Key(b'c') => watch.sort_by(Order::Cpu),
            Turn::Key(b'm') => watch.sort_by(Order::Mem),
            Turn::Key(b'p') => watch.sort_by(Order::Pids),
            Turn::Key(b'n') => watch.sort_by(Order::Name),
            Turn::Key(_) => continue,
        }
        let rows = watch.rows();
        let running = watch.seen.iter().filter(|seen| seen.state == Some(SandboxState::Running)).count();
        let title = format!(
            "virtc top: {} sandboxes, {running} running, in {}; by {}; c m p n sorts, q leaves",
            watch.seen.len(),
            runtime.root().display(),
            watch.order.as_str()
        );
        screen.draw(&title, |width| table::lines(HEADINGS, &rows, Some(width)))?;
    }
}

/// One sandbox.
#[derive(Debug, Serialize)]
struct Seen {
    sandbox: String,
    /// None when its record cannot be read.
    state: Option<SandboxState>,
    /// Of one processor of the host.
    cpu_percent: Option<f64>,
    /// Memory of the host that its processes occupy.
    memory_bytes: Option<u64>,
    /// Memory of its virtual machine.
    machine_memory_bytes: Option<u64>,
    /// Processes of its containers.
    pids: Option<u64>,
    containers: usize,
    containers_running: usize,
    /// Milliseconds since the Unix epoch.
    created: Option<u64>,
}

struct Watch {
    observer: Observer,
    seen: Vec<Seen>,
    order: Order,
}

impl Watch {
    async fn look(&mut self) -> Result<(), CliError> {
        let looked = self.observer.look(|_| true).await?;
        self.seen = looked.iter().map(|observed| self.see(observed)).collect();
        self.sort_by(self.order);
        Ok(())
    }

    fn see(&mut self, observed: &Observed) -> Seen {
        let group = observed.stats.as_ref().map(|(sandbox, _)| &sandbox.cgroup_stats);
        let used = group.map(|group| group.cpu_stats.cpu_usage.total_usage);
        let pids = |(_, containers): &(_, Vec<(_, virtcontainers::ContainerStats)>)| {
            containers
                .iter()
                .fold(0_u64, |sum, (_, stats)| sum.saturating_add(stats.cgroup_stats.pids_stats.current))
        };
        let containers =
            observed.status.as_ref().map(|status| status.containers.as_slice()).unwrap_or_default();
        Seen {
            sandbox: observed.name.clone(),
            state: observed.status.as_ref().map(|status| status.state),
            cpu_percent: used.and_then(|used| self.observer.percent(&observed.name, observed, used)),
            memory_bytes: group.map(|group| group.memory_stats.usage.usage),
            machine_memory_bytes: observed
                .status
                .as_ref()
                .map(|status| status.hypervisor_config.memory_size.bytes()),
            pids: observed.stats.as_ref().map(pids),
            containers: containers.len(),
            containers_running: containers
                .iter()
                .filter(|found| found.state == ContainerState::Running)
                .count(),
            created: observed.status.as_ref().map(|status| status.created.0),
        }
    }

    fn sort_by(&mut self, order: Order) {
        self.order = order;
        // The most comes first; what is equal stays by name.
        self.seen.sort_by(|a, b| a.sandbox.cmp(&b.sandbox));
        self.seen.sort_by(|a, b| match order {
            Order::Cpu => b.cpu_percent.partial_cmp(&a.cpu_percent).unwrap_or(Ordering::Equal),
            Order::Mem => b.memory_bytes.cmp(&a.memory_bytes),
            Order::Pids => b.pids.cmp(&a.pids),
            Order::Name => Ordering::Equal,
        });
    }

    fn rows(&self) -> Vec<[String; 7]> {
        self.seen.iter().map(row).collect()
    }
}

fn row(seen: &Seen) -> [String; 7] {
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let machine = seen.machine_memory_bytes.map(output::size);
    let memory = seen.memory_bytes.map(|bytes| format!("{} / {}", output::size(bytes), known(machine)));
    let age = seen.created.map(|created| {
        let created = SystemTime::from(virtcontainers::Timestamp(created));
        output::span(created.elapsed().unwrap_or_default())
    });
    [
        seen.sandbox.clone(),
        seen.state.map_or_else(|| "unreadable".to_owned(), |state| state.to_string()),
        percent_text(seen.cpu_percent),
        known(memory),
        known(seen.pids.map(|pids| pids.to_string())),
        format!("{}/{}", seen.containers_running, seen.containers),
        known(age),
    ]
}
