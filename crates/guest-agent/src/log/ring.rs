//! The latest lines, by number.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Bytes of all lines together.
pub const CAPACITY: usize = 64 * 1024;

/// Bytes of one line. What the layer makes is shorter, unless it is full of what JSON escapes.
pub const MAX_LINE: usize = CAPACITY / 2;

/// Bytes that a follower is given at a time.
const BATCH: usize = 16 * 1024;

/// The latest lines. Lines are numbered from 0 on.
#[derive(Debug)]
pub struct Ring {
    lines: Mutex<Lines>,
    /// The number of the next line.
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Lines {
    first: u64,
    kept: VecDeque<Box<str>>,
    bytes: usize,
}

/// Some lines for a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Lines that the follower wanted and that are gone.
    pub lost: u64,
    /// The lines, each with its newline.
    pub text: String,
    /// The number of the line after them.
    pub next: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { lines: Mutex::default(), next: watch::Sender::new(0) }
    }
}

impl Ring {
    /// Adds `line`, which ends with a newline, and forgets the oldest ones for it. A line over [`MAX_LINE`] is left out.
    pub fn push(&self, line: &str) {
        if line.len() > MAX_LINE {
            return;
        }
        let mut lines = self.lock();
        lines.bytes += line.len();
        lines.kept.push_back(line.into());
        while lines.bytes > CAPACITY {
            let Some(oldest) = lines.kept.pop_front() else { break };
            lines.bytes -= oldest.len();
            lines.first += 1;
        }
        let next = lines.next();
        drop(lines);
        self.next.send_replace(next);
    }

    /// All that is kept.
    #[must_use]
    pub fn text(&self) -> String {
        self.lock().kept.iter().map(AsRef::as_ref).collect()
    }

    /// Waits for lines from number `from` on.
    pub async fn after(&self, from: u64) -> Batch {
        // The sender lives as long as the ring does.
        self.next.subscribe().wait_for(|next| *next > from).await.ok();
        self.lock().batch(from)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn batch(&self, from: u64) -> Batch {
        let lost = self.first.saturating_sub(from);
        let mut batch = Batch { lost, text: String::new(), next: from + lost };
        let skipped = usize::try_from(batch.next - self.first).unwrap_or(usize::MAX);
        for line in self.kept.iter().skip(skipped) {
            if !batch.text.is_empty() && batch.text.len() + line.len() > BATCH {
                break;
            }
            batch.text.push_str(line);
            batch.next += 1;
        }
        batch
    }
}
