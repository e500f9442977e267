//! Signals by which the guest is asked to end: from an operator's `kill 1`, from the keyboard, from a power supply.

use std::io;

use rustix::system::RebootCommand;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `SIGPWR` of signal(7).
const SIGPWR: i32 = 30;

/// Has Ctrl-Alt-Del send `SIGINT` to PID 1 instead of restarting the machine at once.
///
/// # Errors
/// Without `CAP_SYS_BOOT`.
pub fn take_keyboard() -> io::Result<()> {
    Ok(rustix::system::reboot(RebootCommand::CadOff)?)
}

/// The signals that end the guest, heard from the moment that this is made.
#[derive(Debug)]
pub struct Ending {
    terminate: Signal,
    interrupt: Signal,
    power: Signal,
}

impl Ending {
    /// Sets the handlers. Call it inside a runtime, and before anybody can know of this process: until then the signals
    /// do what they do by default.
    ///
    /// # Errors
    /// When a handler cannot be set.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            power: signal(SignalKind::from_raw(SIGPWR))?,
        })
    }

    /// Waits for one of them; its name.
    pub async fn heard(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.power.recv() => "SIGPWR",
        }
    }
}
