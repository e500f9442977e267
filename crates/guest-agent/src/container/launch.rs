//! The agent's side of a launch: a fresh process of this binary does what forks, see [`super::worker`].
//!
//! They talk over a socket that is the worker's standard input: the request goes in with the workload's standard
//! streams attached, one [`Reply`] comes back. A worker that dies first is a failed launch.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    path::PathBuf,
    process::{Command, Stdio as CommandStdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt as _, net::UnixStream, sync::Semaphore};
use ttrpc::Code;

use crate::{
    process::ChildStdio,
    reaper::{Exit, Reaper},
    sys::{self, passing},
};

/// Longest message between agent and worker, in bytes. An exec's process travels in it.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;

/// Launches at the same time.
const MAX_LAUNCHES: usize = 4;

/// How long a worker may take: a backstop against a file system that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first argument of a worker's command line.
pub const WORKER_ARGUMENT: &str = "container";

/// What a worker is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Create a container from its bundle.
    Create {
        /// Its id.
        id: String,
        /// The directory with its `config.json`.
        bundle: PathBuf,
        /// `libcontainer`'s directory of states.
        states: PathBuf,
        /// The socket that takes the terminal, if there is to be one.
        console: Option<PathBuf>,
        /// Whether the root can be pivoted; in an initramfs it cannot.
        pivot: bool,
    },
    /// Execute a process in a running container.
    Exec {
        /// The container's id.
        id: String,
        /// As above.
        states: PathBuf,
        /// As above.
        console: Option<PathBuf>,
        /// The OCI process.
        process: Box<oci_spec::runtime::Process>,
    },
}

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The process exists and will be the agent's child.
    Launched {
        /// Its pid in the guest.
        pid: u32,
    },
    /// The request was at fault.
    Refused(String),
    /// Something failed.
    Failed(String),
}

/// Why a launch failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// `libcontainer` does not accept the specification.
    #[error("the specification was refused: {0}")]
    Refused(String),
    /// `libcontainer` failed.
    #[error("could not launch the process: {0}")]
    Failed(String),
    /// The worker ended without an answer.
    #[error("the launching process ended with code {code} before it answered: see the guest's console")]
    WorkerEnded {
        /// Its exit code.
        code: i32,
    },
    /// The worker answered nothing.
    #[error("timed out after {} s waiting for the launching process", PATIENCE.as_secs())]
    Timeout,
    /// The worker or the socket to it failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The worker's answer is not one.
    #[error("the launching process answered what is no answer")]
    Garbled(#[from] serde_json::Error),
}

impl LaunchError {
    /// The status code for the host.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) => Code::INVALID_ARGUMENT,
            Self::Timeout => Code::DEADLINE_EXCEEDED,
            Self::Failed(_) | Self::WorkerEnded { .. } | Self::Io { .. } | Self::Garbled(_) => Code::INTERNAL,
        }
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// Launches processes. One worker waits ahead of its request, so that a launch does not wait for a program to load.
#[derive(Debug)]
pub struct Launcher {
    reaper: Arc<Reaper>,
    /// Each worker is a process with memory of its own.
    places: Semaphore,
    spare: Mutex<Option<Worker>>,
    consoles: AtomicU64,
}

#[derive(Debug)]
struct Worker {
    pid: u32,
    exit: Exit,
    socket: StdUnixStream,
}

impl Launcher {
    /// A launcher without a spare worker.
    #[must_use]
    pub fn new(reaper: Arc<Reaper>) -> Self {
        Self {
            reaper,
            places: Semaphore::new(MAX_LAUNCHES),
            spare: Mutex::default(),
            consoles: AtomicU64::default(),
        }
    }

    /// A number that no launch's console socket has had yet.
    pub(super) fn next_console(&self) -> u64 {
        self.consoles.fetch_add(1, Ordering::Relaxed)
    }

    /// Launches what `request` says with the given standard streams; none when it gets a terminal.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub async fn launch(
        &self,
        request: &Request,
        stdio: Option<ChildStdio>,
    ) -> Result<(u32, Exit), LaunchError> {
        let message = serde_json::to_vec(request)?;
        let _place = self.places.acquire().await;
        let expectation = self.reaper.expect();
        let worker = match self.take_spare() {
            Some(worker) => worker,
            None => self.start_worker()?,
        };
        send(&worker.socket, &message, stdio).map_err(LaunchError::io("send the request"))?;
        let mut socket = UnixStream::from_std(worker.socket).map_err(LaunchError::io("watch the socket"))?;
        let reply = tokio::time::timeout(PATIENCE, reply(&mut socket, &worker.exit)).await;
        self.prepare();
        match reply {
            Ok(Ok(Reply::Launched { pid })) => Ok((pid, expectation.claim(pid))),
            Ok(Ok(Reply::Refused(reason))) => Err(LaunchError::Refused(reason)),
            Ok(Ok(Reply::Failed(reason))) => Err(LaunchError::Failed(reason)),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => {
                // Gone already is as good.
                self.reaper.signal(worker.pid, rustix::process::Signal::KILL.as_raw().cast_unsigned()).ok();
                Err(LaunchError::Timeout)
            }
        }
    }

    /// Starts a spare worker if there is none. Without one, launches are slower and nothing else.
    pub fn prepare(&self) {
        let mut spare = self.lock();
        if spare.as_ref().is_none_or(|worker| worker.exit.code().is_some()) {
            *spare = self.start_worker().ok();
        }
    }

    fn take_spare(&self) -> Option<Worker> {
        self.lock().take().filter(|worker| worker.exit.code().is_none())
    }

    fn start_worker(&self) -> Result<Worker, LaunchError> {
        let (ours, theirs) = StdUnixStream::pair().map_err(LaunchError::io("make a socket pair"))?;
        let expectation = self.reaper.expect();
        // posix_spawn(3) without a fork of the agent's memory: no hooks, and descriptors travel in the message.
        let child = Command::new("/proc/self/exe")
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(CommandStdio::null())
            .spawn()
            .map_err(LaunchError::io("start the launching process"))?;
        Ok(Worker { pid: child.id(), exit: expectation.claim(child.id()), socket: ours })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Worker>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends length, message and streams. The worker reads at once, so a message larger than the socket's buffer only
/// blocks for as long.
fn send(socket: &StdUnixStream, message: &[u8], stdio: Option<ChildStdio>) -> io::Result<()> {
    let mut framed = u32::try_from(message.len()).map_err(io::Error::other)?.to_le_bytes().to_vec();
    framed.extend_from_slice(message);
    let fds: Vec<_> = stdio.iter().flat_map(|stdio| &stdio.0).map(|fd| fd.as_fd()).collect();
    passing::send(socket, &framed, &fds)?;
    socket.set_nonblocking(true)
}

/// The worker's answer. Nobody but the worker keeps its side of the socket open, so its death is an end of file.
async fn reply(socket: &mut UnixStream, exit: &Exit) -> Result<Reply, LaunchError> {
    match read_framed(socket).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(LaunchError::WorkerEnded { code: exit.wait().await })
        }
        Err(error) => Err(LaunchError::io("read the answer")(error)),
    }
}

async fn read_framed(socket: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = socket.read_u32_le().await? as usize;
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Takes the terminal that a launched process has sent to the `console` socket.
///
/// # Errors
/// When none is there.
pub(crate) fn take_terminal(
    console: &std::os::unix::net::UnixListener,
) -> Result<std::os::fd::OwnedFd, LaunchError> {
    let doing = "take the process's terminal";
    let (socket, _) = console.accept().map_err(LaunchError::io(doing))?;
    let mut name = [0; 256];
    let (_, mut fds) = sys::passing::receive(&socket, &mut name).map_err(LaunchError::io(doing))?;
    fds.pop().ok_or_else(|| LaunchError::io(doing)(io::ErrorKind::UnexpectedEof.into()))
}
