//! The smallest helper program for `Runtime::builder().helper_program(…)`: called with the argument `proxy`, it
//! multiplexes the virtio-serial port of a sandbox; with `shim` it stands for a process in the guest. A runtime of your own would do this in a hidden subcommand.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("proxy") => {
            virtcontainers::agent::proxy::run_inherited().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Some("shim") => {
            virtcontainers::agent::shim::run_inherited().map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Some(_) | None => ExitCode::from(2),
    }
}
