//! One file per command; this one leads to them.

mod attach;
mod completions;
mod console;
mod container;
pub(crate) mod cp;
mod doctor;
mod events;
mod exec;
mod gc;
mod guest;
mod inspect;
mod kill;
mod logs;
mod netmon;
mod network;
mod pause;
pub(crate) mod proxy;
mod ps;
mod reap;
mod run;
mod sandbox;
pub(crate) mod shim;
mod stats;
mod top;
mod update;
pub(crate) mod vsock;
mod wait;

use std::fmt;

use virtcontainers::Runtime;

use crate::{
    cli::{Cli, Command, Global, SandboxVerb},
    config::HostConfig,
    defaults,
    error::{CliError, Left},
    exit::Exit,
    output,
    signals::Heard,
};

/// Does what the command line asks.
pub(crate) async fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let global = &cli.global;
    match cli.command {
        Command::Run(args) => run::run(global, args).await,
        Command::Exec(args) => exec::run(global, args).await,
        Command::Attach(args) => attach::run(global, args).await,
        Command::Logs(args) => logs::run(global, args).await,
        Command::Ps(args) => ps::run(global, args).await,
        Command::Top(args) => top::run(global, args).await,
        Command::Stats(args) => stats::run(global, args).await,
        Command::Kill(args) => kill::run(global, args).await,
        Command::Wait(args) => wait::run(global, args).await,
        Command::Pause(args) => pause::pause(global, args).await,
        Command::Resume(args) => pause::resume(global, args).await,
        Command::Update(args) => update::run(global, args).await,
        Command::Cp(args) => cp::run(global, args).await,
        Command::Events(args) => events::run(global, args).await,
        Command::Console(args) => console::run(global, args).await,
        Command::List(args) => sandbox::run(global, SandboxVerb::List(args)).await,
        Command::Inspect(args) => inspect::run(global, args).await,
        Command::Stop(args) => sandbox::run(global, SandboxVerb::Stop(args)).await,
        Command::Rm(args) => sandbox::run(global, SandboxVerb::Delete(args)).await,
        Command::Sandbox(command) => sandbox::run(global, command.verb).await,
        Command::Container(command) => container::run(global, command.verb).await,
        Command::Network(command) => network::run(global, command.verb).await,
        Command::Gc(args) => gc::run(global, &args).await,
        Command::Guest(command) => guest::run(global, command.verb),
        Command::Doctor => doctor::run(global),
        Command::Completions { shell } => completions::run(shell),
        Command::Proxy => proxy::run(),
        Command::Vsock { words } => vsock::run(words),
        Command::Shim => shim::run(),
        Command::Netmon { sandbox } => netmon::run(global, &sandbox).await,
        Command::Reap { sandbox } => reap::run(global, &sandbox).await,
    }
}

/// The host's settings and a runtime made from them.
fn open(global: &Global) -> Result<(HostConfig, Runtime), CliError> {
    let host = HostConfig::load(global.config.as_deref())?;
    let runtime = defaults::runtime(global, &host)?;
    Ok((host, runtime))
}

/// Does something that a signal may interrupt. What was begun is over before this returns, one way or the other.
async fn interruptible<T, E: Into<CliError>>(
    runtime: &Runtime,
    left: Left,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, CliError> {
    let mut heard = Heard::ending()?;
    let signal = tokio::select! {
        outcome = work => return outcome.map_err(Into::into),
        signal = heard.next() => signal,
    };
    runtime.settled().await;
    Err(CliError::Interrupted { signal, left })
}

/// Does something to each, goes on past errors, and prints the names of those that it was done to.
async fn each<T: fmt::Display>(
    all: &[T],
    verb: impl AsyncFn(&T) -> Result<(), CliError>,
) -> Result<Exit, CliError> {
    let mut failed = Vec::new();
    for one in all {
        match verb(one).await {
            Ok(()) => output::line(one)?,
            Err(error) => failed.push(error),
        }
    }
    all_well(failed, all.len())
}

/// What became of several things that were tried: all went well, or the errors that there were.
fn all_well(mut failed: Vec<CliError>, all: usize) -> Result<Exit, CliError> {
    match failed.pop() {
        None => Ok(Exit::Done),
        Some(only) if all == 1 => Err(only),
        Some(last) => {
            failed.push(last);
            failed.iter().for_each(output::complain);
            Err(CliError::Several { failed: failed.len(), all })
        }
    }
}
