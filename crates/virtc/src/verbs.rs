//! One file per command; this one leads to them.

mod completions;
mod container;
mod doctor;
mod guest;
pub(crate) mod proxy;
mod reap;
mod run;
mod sandbox;

use virtcontainers::Runtime;

use crate::{
    cli::{Cli, Command, Global},
    config::HostConfig,
    defaults,
    error::{CliError, Left},
    exit::Exit,
    signals::hear,
};

/// Does what the command line asks.
pub(crate) async fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let global = &cli.global;
    match cli.command {
        Command::Run(args) => run::run(global, args).await,
        Command::Sandbox(command) => sandbox::run(global, command.verb).await,
        Command::Container(command) => container::run(global, command.verb).await,
        Command::Guest(command) => guest::run(global, command.verb),
        Command::Doctor => doctor::run(global),
        Command::Completions { shell } => completions::run(shell),
        Command::Proxy => proxy::run(),
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
    use tokio::signal::unix::SignalKind;
    let (mut interrupt, mut terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    let mut hangup = hear(SignalKind::hangup())?;
    let signal = tokio::select! {
        outcome = work => return outcome.map_err(Into::into),
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hangup.recv() => SignalKind::hangup(),
    };
    runtime.settled().await;
    Err(CliError::Interrupted { signal: signal.as_raw_value(), left })
}
