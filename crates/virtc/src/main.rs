//! `virtc`: containers inside lightweight virtual machines, from the command line.
//!
//! The tool is a thin layer over the library: [`cli`] says what can be asked, a file in [`verbs`] does each thing,
//! [`exit`] turns its outcome into an exit code. It also hosts the library's helper process as the hidden verb
//! `proxy`, and the hidden verb `reap` that removes a detached `--rm` sandbox when its command ends.

mod cli;
mod config;
mod defaults;
mod error;
mod exit;
mod output;
mod progress;
mod signals;
mod streams;
mod target;
mod terminal;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    error::CliError,
    exit::Exit,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
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
    if matches!(cli.command, Command::Proxy) {
        return verbs::proxy::run();
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
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&cli.global.log))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(rustix::termios::isatty(std::io::stderr()))
        .init();
}
