//! `vc-helper`: the processes that the library starts beside a virtual machine, in a program of their own that is small:
//! `proxy` multiplexes a virtio-serial port, `shim` stands for a process in the guest, `vsock` is a guest's vsock device. It is
//! not for use by hand.

mod log;

use std::{error::Error, process::ExitCode};

use virtcontainers_agent_client::{proxy, shim};

fn main() -> ExitCode {
    log::start();
    let ended = match std::env::args().nth(1).as_deref() {
        Some("proxy") => proxy::run_inherited().map(|()| 0).map_err(Box::<dyn Error>::from),
        Some("shim") => shim::run_inherited().map_err(Box::<dyn Error>::from),
        Some("vsock") => virtcontainers_vsock_device::run_inherited(std::env::args().skip(2))
            .map(|()| 0)
            .map_err(Box::<dyn Error>::from),
        Some(_) | None => {
            Err("vc-helper is started by the library, as vc-helper proxy, vc-helper shim or vc-helper vsock"
                .into())
        }
    };
    match ended {
        Ok(code) => code.into(),
        Err(error) => {
            log::complain(error.as_ref());
            ExitCode::from(255)
        }
    }
}
