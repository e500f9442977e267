//! What the library itself costs: `cargo bench -p virtcontainers --bench library [-- OPTIONS]`, where the options are
//! `--runs N`, `--disk DIR`, and `--only verbs` or `--only lists`.
//!
//! The virtual machine is the mock and there is no agent, so that nothing is measured but the library: validation, the
//! lease, the records with their step-by-step intents, and the undo that every verb prepares. The same is done in four
//! places, so that what durability costs can be read off:
//!
//! - `disk, fsync`: records survive the loss of power (the default), on the file system of `--disk`.
//! - `disk, no sync`: the same without waiting for the disk; as durable as the original Go library, which never does.
//! - `tmpfs`: the default on `/dev/shm`; `/run`, where sandboxes live, usually is such a file system.
//! - `tmpfs, mounts`: with an agent (the mock one), so that each container's root is bound into the shared tree.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../figures/mod.rs"]
mod figures;
mod work;

use std::{error::Error, path::PathBuf, time::Duration};

use virtcontainers::Durability;

use figures::{Table, ratio, show};
use work::{Figures, Lists, Place};

/// The original's figures on the machine of docs/performance.md, mock machine, no agent; its records are not synced.
mod original {
    use std::time::Duration;

    pub(crate) const CREATE: Duration = Duration::from_micros(1000);
    pub(crate) const DELETE: Duration = Duration::from_micros(2600);
    pub(crate) const LIST_OF_1000: Duration = Duration::from_millis(310);
    pub(crate) const HUNDRED_CONTAINERS: Duration = Duration::from_millis(6700);
}

struct Options {
    runs: usize,
    disk: PathBuf,
    verbs: bool,
    lists: bool,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options =
        Options { runs: 200, disk: env!("CARGO_TARGET_TMPDIR").into(), verbs: true, lists: true };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word}: a value is missing"));
        match word.as_str() {
            "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
            "--disk" => options.disk = value()?.into(),
            "--only" => match value()?.as_str() {
                "verbs" => options.lists = false,
                "lists" => options.verbs = false,
                other => return Err(format!("--only {other}: there are verbs and lists").into()),
            },
            // What cargo itself passes.
            "--bench" => {}
            _ => {
                return Err(
                    format!("{word}: there are --runs N, --disk DIR, --only verbs and --only lists").into()
                );
            }
        }
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { runs, disk, verbs, lists } = options()?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let place =
        |name, dir: &PathBuf, durability, mounts| Place { name, dir: dir.clone(), durability, mounts };
    let shm = PathBuf::from("/dev/shm");
    if verbs {
        let mut places = vec![
            place("disk, fsync", &disk, Durability::Full, false),
            place("disk, no sync", &disk, Durability::NoSync, false),
            place("tmpfs", &shm, Durability::Full, false),
        ];
        if rustix::process::geteuid().is_root() {
            places.push(place("tmpfs, mounts", &shm, Durability::Full, true));
        } else {
            println!("not root: the place \"tmpfs, mounts\" is left out");
        }
        let mut measured = Vec::new();
        for place in places {
            measured.push((place.name, tokio.block_on(work::verbs(&place, runs))?));
        }
        print_verbs(&measured);
        print_ratios(&measured);
    }
    if lists {
        let tmpfs = place("tmpfs", &shm, Durability::Full, false);
        print_lists(&tokio.block_on(work::lists(&tmpfs, runs.min(20)))?);
    }
    Ok(())
}

type Measured = [(&'static str, Figures)];

fn print_verbs(measured: &Measured) {
    let runs = measured.first().map_or(0, |(_, figures)| figures.create.len());
    println!("\nOne sandbox with one container, mock machine; medians of {runs} runs");
    let head = ["verb".to_owned()].into_iter().chain(measured.iter().map(|(name, _)| (*name).to_owned()));
    let mut table = Table::new(head);
    let mut line = |name: &str, figure: fn(&Figures) -> Duration| {
        let cells = measured.iter().map(|(_, figures)| show(figure(figures)));
        table.line([name.to_owned()].into_iter().chain(cells));
    };
    line("create", |figures| figures.create.median());
    line("start", |figures| figures.start.median());
    line("status", |figures| figures.status.median());
    line("stop", |figures| figures.stop.median());
    line("delete", |figures| figures.delete.median());
    line("100 containers created on one sandbox", |figures| figures.containers(0..100));
    line("  the first ten of them", |figures| figures.containers(0..10));
    line("  the last ten of them", |figures| figures.containers(90..100));
    table.print();
}

fn print_ratios(measured: &Measured) {
    println!(
        "\nTimes faster than the original library, which does not sync (target: 5 with \"disk, no sync\")"
    );
    let head = ["verb".to_owned(), "original".to_owned()];
    let mut table = Table::new(head.into_iter().chain(measured.iter().map(|(name, _)| (*name).to_owned())));
    let mut line = |name: &str, original: Duration, figure: fn(&Figures) -> Duration| {
        let cells = measured.iter().map(|(_, figures)| format!("{:.1}", ratio(original, figure(figures))));
        table.line([name.to_owned(), show(original)].into_iter().chain(cells));
    };
    line("create", original::CREATE, |figures| figures.create.median());
    line("delete", original::DELETE, |figures| figures.delete.median());
    line("100 containers created on one sandbox", original::HUNDRED_CONTAINERS, |figures| {
        figures.containers(0..100)
    });
    table.print();
}

fn print_lists(lists: &Lists) {
    println!("\nList of all sandboxes with their status, tmpfs (target: 1000 within 30 ms)");
    let mut table = Table::new(["sandboxes", "median", "min", "max", "original", "times faster"]);
    for (count, sample) in lists {
        let (original, faster) = match count {
            1000 => {
                let faster = format!("{:.1}", ratio(original::LIST_OF_1000, sample.median()));
                (show(original::LIST_OF_1000), faster)
            }
            _ => (String::new(), String::new()),
        };
        let times = [sample.median(), sample.min(), sample.max()].map(show);
        table.line([count.to_string()].into_iter().chain(times).chain([original, faster]));
    }
    table.print();
}
