//! The end of a process, by force.

use virtcontainers_sys::process::{ProcessRef, Signal};

/// Kills a process with SIGKILL and returns when it has ended.
///
/// A process that was sent SIGKILL runs on for a moment: until it is gone its connections answer, and its files are locked.
///
/// # Panics
///
/// If there is no such process, or it cannot be signalled.
pub async fn kill(pid: u32) {
    let opened = ProcessRef::of(pid).and_then(|process| process.open());
    let process = match opened {
        Ok(Some(process)) => process,
        Ok(None) => panic!("process {pid} has ended already"),
        Err(error) => panic!("process {pid} cannot be opened: {error}"),
    };
    match process.signal(Signal::KILL) {
        Ok(_) => {}
        Err(error) => panic!("process {pid} cannot be killed: {error}"),
    }
    if let Err(error) = process.exited().await {
        panic!("the end of process {pid} cannot be awaited: {error}");
    }
}
