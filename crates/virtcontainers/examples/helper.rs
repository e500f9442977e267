//! The smallest helper program for `Runtime::builder().helper_program(…)`: called with the argument `proxy`, it
//! multiplexes the virtio-serial port of a sandbox; with `shim` it stands for a process in the guest, with `vsock` it is a guest's vsock device. A runtime of your own would do this in a hidden subcommand.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("proxy") => {
            virtcontainers::agent::proxy::run_inherited().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Some("shim") => {
            virtcontainers::agent::shim::run_inherited().map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Some("vsock") => virtcontainers::agent::vsock_device::run_inherited(env::args().skip(2))
            .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Some(_) | None => ExitCode::from(2),
    }
}
