//! What a process and its descendants use, from `/proc`.

use std::{fs, io, time::Duration};

use crate::process::ProcessRef;

/// The most processes that are counted below one.
const MAX_DESCENDANTS: usize = 256;
/// Clock ticks a second in `/proc` (`USER_HZ`), 100 wherever the kernel has been ported to after alpha.
const TICKS_PER_SECOND: u64 = 100;

/// What processes use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time outside of the kernel.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Memory resident now, in bytes.
    pub resident_bytes: u64,
    /// Processes.
    pub processes: u64,
    /// Threads of all of them.
    pub threads: u64,
}

impl Usage {
    /// What a process and those that it has started use together; nothing for one that is gone.
    #[must_use]
    pub fn of_tree(root: ProcessRef) -> Self {
        let mut total = Self::default();
        let mut pending = vec![root];
        let mut counted = 0;
        while let Some(process) = pending.pop() {
            // One that ends meanwhile counts for nothing.
            if let Ok(usage) = Self::of(process) {
                total = total.plus(usage);
                pending.extend(children(process.pid));
            }
            counted += 1;
            if counted > MAX_DESCENDANTS {
                break;
            }
        }
        total
    }

    /// What one process uses.
    ///
    /// # Errors
    /// `NotFound` when it is gone.
    pub fn of(process: ProcessRef) -> io::Result<Self> {
        let resident_bytes = process.resident_bytes()?;
        let text = fs::read(format!("/proc/{}/stat", process.pid))?;
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "a stat file not in the form of proc(5)");
        let (user, system, threads) = parse(&text).ok_or_else(broken)?;
        Ok(Self { user: ticks(user), system: ticks(system), resident_bytes, processes: 1, threads })
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            resident_bytes: self.resident_bytes + other.resident_bytes,
            processes: self.processes + other.processes,
            threads: self.threads + other.threads,
        }
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000 / TICKS_PER_SECOND))
}

/// utime, stime and num_threads: fields 14, 15 and 20 of proc(5). The command's name (field 2) may hold anything, so the
/// fields are counted from the last parenthesis.
fn parse(text: &[u8]) -> Option<(u64, u64, u64)> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse().ok();
    Some((number(14)?, number(15)?, number(20)?))
}

/// The children of all threads of a process; none where the kernel does not list them.
fn children(pid: u32) -> Vec<ProcessRef> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let listed: Vec<String> = tasks.flatten().map(of_task).collect();
    let pids =
        listed.iter().flat_map(|list| list.split_ascii_whitespace()).filter_map(|pid| pid.parse().ok());
    pids.filter_map(|pid| ProcessRef::of(pid).ok()).collect()
}
