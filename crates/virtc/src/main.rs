//! `virtc`: containers inside lightweight virtual machines, from the command line.
//!
//! The tool is a thin layer over the library: [`cli`] says what can be asked, a file in [`verbs`] does each thing,
//! [`exit`] turns its outcome into an exit code. [`streams`] and [`terminal`] join this process to one in a guest;
//! [`output`], [`table`] and [`screen`] show things. It also hosts the library's helper processes as the hidden verbs
//! `proxy`, `shim` and `netmon`, and the hidden verb `reap` that removes a detached `--rm` sandbox when its command
//! ends.

mod cli;
mod config;
mod defaults;
mod detach;
mod error;
mod exit;
mod moment;
mod output;
mod progress;
mod screen;
mod signals;
mod streams;
mod table;
mod target;
mod terminal;
mod usage;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    error::CliError,
    exit::Exit,
};

/// Warnings, but not at each boot that this host has no KVM: `virtc doctor` says so.
const DEFAULT_LOG: &str = "warn,virtcontainers::accelerator=error";

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
    terminal::restore_on_panic();
    let outcome = run(cli);
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if error.is_closed_pipe() => Exit::Code(0).into(),
        Err(error) => {
            output::complain(&error);
            error.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    // Helper processes make small runtimes of their own.
    if matches!(cli.command, Command::Proxy) {
        return verbs::proxy::run();
    }
    if let Command::Vsock { words } = cli.command {
        return verbs::vsock::run(words);
    }
    if matches!(cli.command, Command::Shim) {
        return verbs::shim::run();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Io { what: "cannot start the async runtime".to_owned(), source })?;
    let outcome = runtime.block_on(verbs::dispatch(cli));
    // A read of standard input may still hold one of the runtime's threads: do not wait for a key.
    runtime.shutdown_background();
    outcome
}

/// Log to standard error: warnings, or what `--log` and `VIRTC_LOG` ask for.
fn start_log(cli: &Cli) {
    let filter = cli.global.log.as_deref().unwrap_or(DEFAULT_LOG);
    let colours = rustix::termios::isatty(std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(colours)
        .init();
}
