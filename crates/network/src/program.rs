//! Programs of others that run for a moment: CNI plugins and hooks.
//!
//! Each has a session of its own, gets its input on stdin, is bounded in time and in what it may say, and is killed with
//! all that it started in its process group when it is late, says too much, or nobody waits for it any more.

use std::{io, os::fd::OwnedFd, process::ExitStatus, time::Duration};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
};
use virtcontainers_sys::spawn::{Spawn, SpawnError};

/// How much of a program's errors is kept: the end.
const STDERR_TAIL: usize = 4 << 10;
/// How long a killed program may take to be gone.
const KILLED: Duration = Duration::from_secs(5);
/// How much is read at once.
const CHUNK: usize = 8 << 10;

/// A program that has ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote to its standard output.
    pub(crate) stdout: Vec<u8>,
    /// The end of what it wrote to its standard error.
    pub(crate) stderr: String,
}

/// A program that has not.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not start.
    Start(SpawnError),
    /// The pipes to it failed.
    Talk(io::Error),
    /// It, or something that it started and that holds its output, was late.
    TimedOut {
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// It wrote more to its standard output than it may.
    TooMuch,
}

/// Runs a program to its end.
pub(crate) async fn run(
    spawn: Spawn,
    input: &[u8],
    timeout: Duration,
    stdout_limit: usize,
) -> Result<Ended, Failure> {
    let (stdin_theirs, stdin) = pipe_with(PipeFlags::CLOEXEC).map_err(talk)?;
    let (stdout, stdout_theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(talk)?;
    let (stderr, stderr_theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(talk)?;
    let spawn = spawn.fd(stdin_theirs, 0).fd(stdout_theirs, 1).fd(stderr_theirs, 2);
    let mut child = spawn.spawn().map_err(Failure::Start)?;
    // Declared after the child, so dropped before it: a group is killed while its leader is not reaped.
    let group = Group::of(child.process().pid);
    let mut tail = Vec::new();
    let talk = async {
        let ((), stdout, ()) = tokio::try_join!(
            feed(stdin, input),
            read_all(stdout, stdout_limit),
            read_tail(stderr, &mut tail),
        )?;
        let status = child.wait().await.map_err(Failure::Talk)?;
        Ok((status, stdout))
    };
    let outcome = tokio::time::timeout(timeout, talk).await;
    let stderr = String::from_utf8_lossy(&tail).trim().to_owned();
    let failure = match outcome {
        Ok(Ok((status, stdout))) => {
            group.has_ended();
            return Ok(Ended { status, stdout, stderr });
        }
        Ok(Err(failure)) => failure,
        Err(_elapsed) => Failure::TimedOut { stderr },
    };
    drop(group);
    // It is killed. What it did is undone next, so it must be gone; one that the kernel holds on to is not waited for.
    tokio::time::timeout(KILLED, child.wait()).await.ok();
    Err(failure)
}

fn talk(error: rustix::io::Errno) -> Failure {
    Failure::Talk(error.into())
}

/// Writes the input and closes the pipe. A program need not read it.
async fn feed(pipe: OwnedFd, input: &[u8]) -> Result<(), Failure> {
    let mut pipe = pipe::Sender::from_owned_fd(pipe).map_err(Failure::Talk)?;
    match pipe.write_all(input).await {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Talk(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn read_all(pipe: OwnedFd, limit: usize) -> Result<Vec<u8>, Failure> {
    let pipe = pipe::Receiver::from_owned_fd(pipe).map_err(Failure::Talk)?;
    let mut bytes = Vec::new();
    pipe.take(limit as u64 + 1).read_to_end(&mut bytes).await.map_err(Failure::Talk)?;
    if bytes.len() > limit { Err(Failure::TooMuch) } else { Ok(bytes) }
}

async fn read_tail(pipe: OwnedFd, tail: &mut Vec<u8>) -> Result<(), Failure> {
    let mut pipe = pipe::Receiver::from_owned_fd(pipe).map_err(Failure::Talk)?;
    let mut chunk = [0; CHUNK];
    loop {
        let read = pipe.read(&mut chunk).await.map_err(Failure::Talk)?;
        if read == 0 {
            return Ok(());
        }
        tail.extend_from_slice(&chunk[..read]);
        let surplus = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..surplus);
    }
}

/// A process group that is killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: u32) -> Self {
        Self(i32::try_from(leader).ok().and_then(Pid::from_raw))
    }

    /// Its leader has ended and is reaped: the number may be another's by now.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It has ended by itself in this very moment: all that is wanted.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}
