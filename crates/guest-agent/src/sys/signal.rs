//! Signals by number.

use std::io;

use rustix::process::{Pid, Signal};

/// The largest signal number of Linux (`SIGRTMAX`).
pub const MAX: u32 = 64;

/// Sends signal `number` to process `pid`.
///
/// # Errors
/// As kill(2); `EINVAL` for a pid or a number that cannot be one.
pub fn send(pid: u32, number: u32) -> io::Result<()> {
    let invalid = || io::Error::from(rustix::io::Errno::INVAL);
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(invalid)?;
    let number =
        i32::try_from(number).map_err(|source| io::Error::new(io::ErrorKind::InvalidInput, source))?;
    if !(1..=MAX.cast_signed()).contains(&number) {
        return Err(invalid());
    }
    // SAFETY: the number is one of the kernel's signals, and it is only passed on to kill(2): no handler is installed
    // and no signal that libc keeps for itself is blocked in this process.
    let signal = unsafe { Signal::from_raw_unchecked(number) };
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Whether a process with that `/proc/<pid>/status` has said what is to become of signal `number`: it has a handler
/// (`SigCgt`), blocks it, to take it with sigwait(3) or signalfd(2) (`SigBlk`), or ignores it (`SigIgn`). A text that
/// does not tell counts as yes.
#[must_use]
pub fn is_disposed_of(status: &str, number: u32) -> bool {
    ["SigBlk:", "SigIgn:", "SigCgt:"].iter().any(|name| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX);
        mask & (1 << (number - 1)) != 0
    })
}
