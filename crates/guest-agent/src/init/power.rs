//! The end of the machine.

use std::{io::Write as _, sync::Mutex};

use rustix::system::RebootCommand;

use super::cmdline::Cmdline;

/// Ends the machine, and never returns. What is cached is written out first.
///
/// A machine without a power button (`reboot=` is how its kernel is told so) ends by a restart, on which its monitor
/// exits.
pub fn off() -> ! {
    rustix::fs::sync();
    let restart = Cmdline::read().is_ok_and(|cmdline| cmdline.has("reboot"));
    let command = if restart { RebootCommand::Restart } else { RebootCommand::PowerOff };
    loop {
        if let Err(error) = rustix::system::reboot(command) {
            say(&format!("could not power off: {error}"));
        }
        // The kernel ends the machine behind our back; without CAP_SYS_BOOT there is nothing left to do but wait.
        rustix::event::pause();
    }
}

/// Writes one line to the console.
pub fn say(line: &str) {
    static CONSOLE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = CONSOLE.lock();
    // Without a console there is nobody to tell.
    std::io::stderr().write_all(format!("vc-agent: {line}\n").as_bytes()).ok();
}
