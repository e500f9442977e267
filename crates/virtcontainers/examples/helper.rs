//! The smallest helper program for `Runtime::builder().helper_program(…)`: called with the argument `proxy`, it
//! multiplexes the virtio-serial port of a sandbox. A runtime of your own would do this in a hidden subcommand.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() != Some("proxy") {
        return ExitCode::from(2);
    }
    match virtcontainers::agent::proxy::run_inherited() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
