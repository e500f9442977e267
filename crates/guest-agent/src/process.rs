//! One process of a container as the host sees it: its exit and its standard streams.

mod stdio;
mod stream;
mod table;

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

pub use stdio::{ChildStdio, Stdio};
pub use stream::{InputStream, OutputStream};
pub use table::Table;

use crate::reaper::{Exit, Reaper};

/// A launched process. It stays here after its end, for those who still want its code or the rest of its output.
#[derive(Debug)]
pub struct Process {
    id: String,
    pid: u32,
    exit: Exit,
    stdio: Stdio,
    answered: AtomicBool,
}

impl Process {
    /// A process that was launched with `stdio`.
    #[must_use]
    pub fn new(id: String, pid: u32, exit: Exit, stdio: Stdio) -> Self {
        Self { id, pid, exit, stdio, answered: AtomicBool::new(false) }
    }

    /// Its exec id; the container's first process may have the container's.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its pid in the guest.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its exit.
    #[must_use]
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// Its streams.
    #[must_use]
    pub fn stdio(&self) -> &Stdio {
        &self.stdio
    }

    /// Waits for the exit code and notes that somebody knows it.
    pub async fn wait(&self) -> i32 {
        let code = self.exit.wait().await;
        self.answered.store(true, Ordering::Relaxed);
        code
    }

    /// Whether it has ended and somebody knows its code.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends signal `number`; `false` if the process has ended.
    ///
    /// # Errors
    /// As kill(2).
    pub fn signal(&self, reaper: &Reaper, number: u32) -> io::Result<bool> {
        reaper.signal(self.pid, number)
    }
}
