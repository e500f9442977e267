//! The agent's side of a launch: what forks is a process of its own with one thread, see [`super::worker`].
//!
//! That process stays, so that a launch costs a fork and not the start of a program. It is a fresh process of this binary:
//! nothing of the agent's memory and none of its threads is in it. Each launch has a socket of its own for its answers.

mod message;

use std::{
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
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

use tokio::{io::AsyncReadExt as _, net::UnixStream, sync::Semaphore};
use ttrpc::Code;

use crate::{
    process::ChildStdio,
    reaper::{Exit, Expectation, Reaper},
    sys::passing,
};

pub use message::{Enter, Request, Step, Stopped};
pub(crate) use message::{MAX_MESSAGE, Reply, answer, receive};

/// Launches at the same time. Each is a process with memory of its own, and they share the guest's processors.
const MAX_LAUNCHES: usize = 16;

/// How long a launch may take: a backstop against a file system that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to hear what an ended process has said.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The first argument of the launching process's command line.
pub const WORKER_ARGUMENT: &str = "container";

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
    /// A process for a running container failed before its program.
    #[error("could not {}: {}", .0.step.doing(), .0.reason)]
    Stopped(Stopped),
    /// The working directory cannot be entered.
    #[error("the working directory `{}` cannot be entered in the container: {reason}", path.display())]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// How it failed.
        reason: String,
    },
    /// The launching process ended without an answer.
    #[error("the launching process ended before it answered: see the guest's console")]
    WorkerEnded,
    /// The launching process answered nothing.
    #[error("timed out after {} s waiting for the launching process", PATIENCE.as_secs())]
    Timeout,
    /// The launching process or the socket to it failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The launching process's answer is not one.
    #[error("the launching process answered what is no answer")]
    Garbled(#[from] serde_json::Error),
}

impl LaunchError {
    /// The status code for the host.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::WorkingDirectory { .. } => Code::INVALID_ARGUMENT,
            Self::Timeout => Code::DEADLINE_EXCEEDED,
            Self::Failed(_) | Self::Stopped(_) | Self::WorkerEnded | Self::Io { .. } | Self::Garbled(_) => {
                Code::INTERNAL
            }
        }
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// The container that a process is to enter.
#[derive(Debug)]
pub struct Place {
    /// A pidfd of its first process.
    pub init: OwnedFd,
    /// The directory of its cgroup.
    pub cgroup: OwnedFd,
}

/// Launches processes.
#[derive(Debug)]
pub struct Launcher {
    reaper: Arc<Reaper>,
    places: Semaphore,
    worker: Mutex<Option<Worker>>,
    consoles: AtomicU64,
}

/// The launching process.
#[derive(Debug)]
struct Worker {
    exit: Exit,
    socket: StdUnixStream,
}

impl Launcher {
    /// A launcher without a launching process.
    #[must_use]
    pub fn new(reaper: Arc<Reaper>) -> Self {
        Self {
            reaper,
            places: Semaphore::new(MAX_LAUNCHES),
            worker: Mutex::default(),
            consoles: AtomicU64::default(),
        }
    }

    /// A number that no launch's console socket has had yet.
    pub(super) fn next_console(&self) -> u64 {
        self.consoles.fetch_add(1, Ordering::Relaxed)
    }

    /// Launches what `request` says, in a container if it is to enter one, with the given standard streams; none when it
    /// gets a terminal.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub async fn launch(
        &self,
        request: &Request,
        place: Option<Place>,
        stdio: Option<ChildStdio>,
    ) -> Result<(u32, Exit), LaunchError> {
        let message = message::frame(request).map_err(LaunchError::io("describe the launch"))?;
        let _place = self.places.acquire().await;
        let expectation = self.reaper.expect();
        let (ours, theirs) = StdUnixStream::pair().map_err(LaunchError::io("make a socket pair"))?;
        let mut fds = vec![theirs.as_fd()];
        fds.extend(place.iter().flat_map(|place| [place.init.as_fd(), place.cgroup.as_fd()]));
        fds.extend(stdio.iter().flat_map(|stdio| &stdio.0).map(OwnedFd::as_fd));
        self.ask(&message, &fds)?;
        drop((theirs, place, stdio));
        let watch = "watch the launching process";
        ours.set_nonblocking(true).map_err(LaunchError::io(watch))?;
        let socket = UnixStream::from_std(ours).map_err(LaunchError::io(watch))?;
        let mut answers = Answers { socket, expectation, forked: None };
        match tokio::time::timeout(PATIENCE, answers.outcome(request)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                if let Some((pid, _)) = answers.forked {
                    // Gone already is as good.
                    self.reaper.signal(pid, rustix::process::Signal::KILL.as_raw().cast_unsigned()).ok();
                }
                Err(LaunchError::Timeout)
            }
        }
    }

    /// Starts the launching process if there is none, so that the first launch does not have to.
    pub fn prepare(&self) {
        let mut worker = self.lock();
        if worker.as_ref().is_none_or(|worker| worker.exit.code().is_some()) {
            *worker = self.start_worker().ok();
        }
    }

    /// Hands a request to the launching process; one that has ended is replaced.
    fn ask(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), LaunchError> {
        let mut place = self.lock();
        if let Some(worker) = place.as_ref().filter(|worker| worker.exit.code().is_none())
            && passing::send(&worker.socket, message, fds).is_ok()
        {
            return Ok(());
        }
        let worker = place.insert(self.start_worker()?);
        passing::send(&worker.socket, message, fds).map_err(LaunchError::io("send the request"))
    }

    fn start_worker(&self) -> Result<Worker, LaunchError> {
        let (ours, theirs) = StdUnixStream::pair().map_err(LaunchError::io("make a socket pair"))?;
        let expectation = self.reaper.expect();
        // posix_spawn(3) without a fork of the agent's memory: no hooks, and descriptors travel in the messages.
        let child = Command::new("/proc/self/exe")
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(CommandStdio::null())
            .spawn()
            .map_err(LaunchError::io("start the launching process"))?;
        Ok(Worker { exit: expectation.claim(child.id()), socket: ours })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Worker>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers to one request.
struct Answers {
    socket: UnixStream,
    expectation: Expectation,
    forked: Option<(u32, Exit)>,
}

impl Answers {
    async fn outcome(&mut self, request: &Request) -> Result<(u32, Exit), LaunchError> {
        let creates = match request {
            Request::Create { .. } => true,
            Request::Enter(_) => false,
        };
        loop {
            let reply = if creates { self.next_while_it_lives().await } else { self.next().await }?;
            match reply {
                Some(Reply::Forked { pid }) => self.forked = Some((pid, self.expectation.claim(pid))),
                Some(Reply::Created { pid }) => return Ok((pid, self.expectation.claim(pid))),
                Some(Reply::Refused(reason)) => return Err(LaunchError::Refused(reason)),
                Some(Reply::Failed(reason)) => return Err(LaunchError::Failed(reason)),
                Some(Reply::Stopped(stopped)) => return Err(LaunchError::Stopped(stopped)),
                // The process runs its program: nobody has the other side any more.
                None if !creates => return self.forked.take().ok_or(LaunchError::WorkerEnded),
                None => return Err(LaunchError::WorkerEnded),
            }
        }
    }

    /// As [`Self::next`], and the end once the forked process has ended: what it has made may have the socket still.
    async fn next_while_it_lives(&mut self) -> Result<Option<Reply>, LaunchError> {
        let Some((_, exit)) = self.forked.clone() else { return self.next().await };
        tokio::select! {
            biased;
            reply = self.next() => return reply,
            _code = exit.wait() => {}
        }
        // What it said last is there by now, but the runtime may not have heard of it yet.
        tokio::time::timeout(LAST_WORDS, self.next()).await.unwrap_or(Ok(None))
    }

    /// The next answer; none at the end.
    async fn next(&mut self) -> Result<Option<Reply>, LaunchError> {
        match read_framed(&mut self.socket).await {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(LaunchError::io("read the answer")(error)),
        }
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
    let (_, mut fds) = passing::receive(&socket, &mut name).map_err(LaunchError::io(doing))?;
    fds.pop().ok_or_else(|| LaunchError::io(doing)(io::ErrorKind::UnexpectedEof.into()))
}
