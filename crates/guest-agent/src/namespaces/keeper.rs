//! The first process of a pid namespace that several containers share: it collects those whose parents have ended,
//! and ends with the agent.

use std::{
    future::pending,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    thread,
};

use rustix::pipe::PipeFlags;
use tokio::{io::AsyncReadExt as _, net::unix::pipe};

use crate::{
    error::CallError,
    reaper::{Exit, Reaper},
    sys::{self, namespace::Kind},
};

/// The first argument of a keeper's command line.
pub const KEEPER_ARGUMENT: &str = "keeper";

const BINARY: &str = "/proc/self/exe";

/// A running keeper, as the agent sees it. Dropping it ends it and its namespace.
#[derive(Debug)]
pub struct Keeper {
    pid: u32,
    exit: Exit,
    /// The keeper's standard input: it ends when this closes.
    _life: OwnedFd,
}

impl Keeper {
    /// Starts one in a new pid namespace.
    ///
    /// # Errors
    /// [`CallError::Io`].
    pub async fn start(reaper: &Arc<Reaper>) -> Result<Self, CallError> {
        let failed = || CallError::io("start in a new pid namespace", BINARY);
        let (theirs, life) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed()(error.into()))?;
        let (ready, announce) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed()(error.into()))?;
        let expectation = reaper.expect();
        // Only the children of the thread that leaves the namespace are in the new one.
        let thread = thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            sys::namespace::leave(Kind::Pid)?;
            let mut command = Command::new(BINARY);
            command.arg(KEEPER_ARGUMENT).env_clear().stdin(theirs).stdout(announce).stderr(Stdio::null());
            io::Result::Ok(command.spawn()?.id())
        });
        let panicked = |_panic| io::Error::other("the thread that starts it panicked");
        let pid = thread.and_then(|thread| thread.join().map_err(panicked)?).map_err(failed())?;
        let exit = expectation.claim(pid);
        // Nobody may join before there is one who collects.
        let mut ready = pipe::Receiver::from_owned_fd(ready).map_err(failed())?;
        ready.read_u8().await.map_err(failed())?;
        Ok(Self { pid, exit, _life: life })
    }

    /// Whether it runs.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.exit.code().is_none()
    }

    /// The file of its namespace.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/pid", self.pid))
    }
}

/// The keeper's program: says that it is there, then collects until its standard input closes.
#[must_use]
pub fn main() -> ExitCode {
    match keep() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_to_tell) => ExitCode::FAILURE,
    }
}

fn keep() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_reaper, collecting) = Reaper::start()?;
        let input = rustix::io::dup(io::stdin())?;
        let mut life = pipe::Receiver::from_owned_fd(input)?;
        rustix::io::write(io::stdout(), b"\n")?;
        tokio::select! {
            _ = life.read_u8() => {}
            _ = collecting => pending().await,
        }
        Ok(())
    })
}
