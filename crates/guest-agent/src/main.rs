//! `vc-agent`: the guest agent. See the library for what it does.
//!
//! - As PID 1 it takes no arguments.
//! - `vc-agent container` is what the agent starts for each launch; it is of no use elsewhere.
//! - `vc-agent --listen unix:PATH --directory DIR` serves outside of a virtual machine, for tests, in a mount
//!   namespace of its own; `DIR` takes the agent's own files.

use std::{path::PathBuf, process::ExitCode};

use virtcontainers_guest_agent::{
    container::launch::WORKER_ARGUMENT,
    container::worker,
    init::power,
    namespaces::keeper::{self, KEEPER_ARGUMENT},
    run,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if arguments.first() == Some(&WORKER_ARGUMENT) {
        return worker::main();
    }
    // The first process of a pid namespace, but not the machine's.
    if arguments.first() == Some(&KEEPER_ARGUMENT) {
        return keeper::main();
    }
    if std::process::id() == 1 {
        run::as_init();
    }
    let outcome = match arguments[..] {
        ["--listen", endpoint, "--directory", directory] => match endpoint.strip_prefix("unix:") {
            Some(socket) => run::outside(PathBuf::from(socket), PathBuf::from(directory)),
            None => Err(format!("`{endpoint}` is no endpoint: only unix:PATH is one").into()),
        },
        _ => Err("usage: vc-agent --listen unix:PATH --directory DIR".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            power::say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
