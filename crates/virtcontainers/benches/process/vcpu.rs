//! The processor time of the guest: that of the threads in which QEMU runs its vCPUs. Unlike a time on the clock, it does
//! not tell what else the host has to do.

use std::{fs, path::PathBuf, time::Duration};

use crate::{Failure, stage::Stage};

/// The vCPUs of one machine.
#[derive(Debug)]
pub(crate) struct Vcpus(Vec<PathBuf>);

impl Vcpus {
    /// Those that the machine has now.
    pub(crate) async fn of(stage: &Stage) -> Result<Self, Failure> {
        let pid = stage.sandbox().status().await?.vmm_pid.ok_or("the sandbox has no machine")?;
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            if fs::read_to_string(thread.join("comm"))?.starts_with("CPU ") {
                threads.push(thread.join("schedstat"));
            }
        }
        Ok(Self(threads))
    }

    /// What they have used so far.
    pub(crate) fn used(&self) -> Result<Duration, Failure> {
        let mut used = Duration::ZERO;
        for thread in &self.0 {
            let text = fs::read_to_string(thread)?;
            let nanoseconds = text.split_whitespace().next().ok_or("an empty schedstat")?;
            used += Duration::from_nanos(nanoseconds.parse()?);
        }
        Ok(used)
    }
}
