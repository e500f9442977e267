//! Looking on: `virtc logs`, `ps`, `top`, `stats`, `events`, `inspect`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use virtcontainers::ExecId;

use crate::{moment::Moment, target::Target};

/// `virtc logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc logs --tail 20 -f web                        the last lines, and what follows
  virtc logs --since 10m -t web                      of the last ten minutes, each line with its time
  virtc logs --source console web                    what the guest's kernel said

The output of a command is kept when it runs detached (virtc run -d, container start, exec -d), or once it was left
with the detach keys. Otherwise it went to whoever ran it.")]
pub(crate) struct LogsArgs {
    /// The container; for the other sources its sandbox
    #[arg(value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) target: Target,
    /// Go on until the command ends
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Only what is not older: a time such as 2026-01-02T15:04:05Z, or an age such as 90s, 10m, 1h30m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Put the time before each line
    #[arg(long, short = 't')]
    pub(crate) timestamps: bool,
    /// Whose log: of the container's command, the guest's agent, the guest's console, or the virtual machine monitor
    #[arg(long, value_name = "SOURCE", value_enum, default_value_t = Source::Container)]
    pub(crate) source: Source,
    /// Of a process that virtc exec -d started
    #[arg(long, value_name = "ID")]
    pub(crate) exec: Option<ExecId>,
}

/// Whose log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// The output of the container's command.
    Container,
    /// The guest's agent.
    Agent,
    /// The guest's console.
    Console,
    /// The virtual machine monitor.
    Vmm,
}

/// `virtc ps`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc ps web                                       as ps -ef
  virtc ps web aux
  virtc ps web -o pid,rss,args
  virtc --json ps web")]
pub(crate) struct PsArgs {
    /// The container
    #[arg(value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) target: Target,
    /// Words of ps(1): -ef, aux, -o LIST
    #[arg(value_name = "PS OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// How often a table is drawn.
#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    /// Print once and end; done anyway where there is no terminal
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// How often to look, for example 2s or 500ms
    #[arg(long, short = 'i', value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
}

/// `virtc top`.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: q or ctrl-c leaves; c, m, p, n sorts by processor, memory, processes, name.
CPU and MEM are what the sandbox costs this host: its virtual machine and helpers. PIDS counts its containers'
processes.")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) refresh: RefreshArgs,
    /// Column to sort by
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t = Order::Cpu)]
    pub(crate) sort: Order,
}

/// The order of the rows of `virtc top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The busiest first.
    Cpu,
    /// The largest first.
    Mem,
    /// The most processes first.
    Pids,
    /// By name.
    Name,
}

impl Order {
    /// Its name on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Mem => "mem",
            Self::Pids => "pids",
            Self::Name => "name",
        }
    }
}

/// `virtc stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc stats                                        all running containers, until q or ctrl-c
  virtc stats --no-stream web
  virtc --json stats --no-stream web/db              the whole structures, as the agent counts them")]
pub(crate) struct StatsArgs {
    /// The containers; a sandbox means all of its containers [default: all that run]
    #[arg(value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) targets: Vec<Target>,
    #[command(flatten)]
    pub(crate) refresh: RefreshArgs,
}

/// `virtc events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Tells what happens from now on, until ctrl-c: created, started, paused, resumed, updated, stopped, deleted, oom.
Examples:
  virtc events --filter sandbox=web
  virtc --json events --filter event=oom             one JSON object a line")]
pub(crate) struct EventsArgs {
    /// Only those of a sandbox (sandbox=NAME), a container (container=NAME) or a kind (event=KIND); of several with the
    /// same key any, of different keys all must hold
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// First tell what is there already
    #[arg(long)]
    pub(crate) existing: bool,
}

/// `virtc inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A sandbox, or a container of it
    #[arg(required = true, value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) targets: Vec<Target>,
}

/// `virtc ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print names only
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let least = Duration::from_millis(100);
    match crate::moment::duration(text) {
        Some(duration) if duration >= least => Ok(duration),
        Some(_) => Err("at least 100ms".to_owned()),
        None => Err("write a number with ms, s, m or h".to_owned()),
    }
}
