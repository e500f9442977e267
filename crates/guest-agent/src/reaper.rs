//! Collects every child that ends, as PID 1 and a subreaper must, and hands exit codes to those who wait for them.
//!
//! Who launches a process learns its pid only after it may have ended. So a launch first opens an [`Expectation`]:
//! while one is open, codes of processes that nobody watches are kept; at other times they are dropped.

use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, WaitOptions, WaitStatus},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use virtcontainers_sys::task::{self, Task};

use crate::sys;

/// Codes kept for processes that nobody has claimed yet.
const MAX_UNCLAIMED: usize = 4096;

/// The code of a process whose real one was lost.
const UNKNOWN_CODE: i32 = 255;

/// The collector of children. One for each process.
#[derive(Debug, Default)]
pub struct Reaper {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    expectations: usize,
    unclaimed: HashMap<u32, i32>,
    watched: HashMap<u32, watch::Sender<Option<i32>>>,
}

impl Reaper {
    /// Starts collecting, until the task is dropped. Call it inside a runtime.
    ///
    /// # Errors
    /// When the signal handler cannot be set.
    pub fn start() -> io::Result<(Arc<Self>, Task<()>)> {
        let reaper = Arc::new(Self::default());
        let children = signal(SignalKind::child())?;
        let task = task::spawn("reaper", Arc::clone(&reaper).run(children));
        Ok((reaper, task))
    }

    async fn run(self: Arc<Self>, mut children: Signal) {
        loop {
            self.collect();
            if children.recv().await.is_none() {
                return;
            }
        }
    }

    /// Takes what has ended by now.
    fn collect(&self) {
        let mut state = self.lock();
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(code) = exit_code(status) {
                        state.ended(pid.as_raw_nonzero().get().cast_unsigned(), code);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Announces a launch: from now on no code is lost. Open it before the process can exist.
    pub fn expect(self: &Arc<Self>) -> Expectation {
        self.lock().expectations += 1;
        Expectation { reaper: Arc::clone(self) }
    }

    /// Sends signal `number` to `pid` if it is watched and has not been collected; `false` if it has.
    ///
    /// # Errors
    /// As kill(2).
    pub fn signal(&self, pid: u32, number: u32) -> io::Result<bool> {
        let state = self.lock();
        if !state.watched.contains_key(&pid) {
            return Ok(false);
        }
        sys::signal::send(pid, number).map(|()| true)
    }

    /// A pidfd of `pid`.
    ///
    /// # Errors
    /// `ESRCH` if it is not watched or has been collected; as pidfd_open(2).
    pub fn pidfd(&self, pid: u32) -> io::Result<OwnedFd> {
        let state = self.lock();
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = raw.filter(|_| state.watched.contains_key(&pid)).ok_or(Errno::SRCH)?;
        Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ended(&mut self, pid: u32, code: i32) {
        if let Some(watcher) = self.watched.remove(&pid) {
            watcher.send_replace(Some(code));
        } else if self.expectations > 0 && self.unclaimed.len() < MAX_UNCLAIMED {
            self.unclaimed.insert(pid, code);
        }
    }
}

/// The code as a shell has it: 128 + n for signal n.
fn exit_code(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

/// A launch under way.
#[derive(Debug)]
pub struct Expectation {
    reaper: Arc<Reaper>,
}

impl Expectation {
    /// The exit of child `pid`, which may have happened already.
    #[must_use]
    pub fn claim(&self, pid: u32) -> Exit {
        let mut state = self.reaper.lock();
        let code = state.unclaimed.remove(&pid);
        let (sender, receiver) = watch::channel(code);
        if code.is_none() {
            state.watched.insert(pid, sender);
        }
        Exit(receiver)
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        let mut state = self.reaper.lock();
        state.expectations -= 1;
        if state.expectations == 0 {
            state.unclaimed = HashMap::new();
        }
    }
}

/// The end of one process, for any number of waiters.
#[derive(Debug, Clone)]
pub struct Exit(watch::Receiver<Option<i32>>);

impl Exit {
    /// The code, once there is one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        *self.0.borrow()
    }

    /// Waits for the code.
    pub async fn wait(&self) -> i32 {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or(UNKNOWN_CODE),
            Err(_reaper_gone) => UNKNOWN_CODE,
        }
    }
}
