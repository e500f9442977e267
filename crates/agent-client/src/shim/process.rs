//! A shim in a process of its own: how it is started, and told that it is on record.
//!
//! The two talk over a socket that is the shim's standard output: the options as a line of JSON to the shim, `ready` or
//! a reason back, and `go` when the shim is recorded. A shim whose starter is gone before that ends.

use std::{
    fmt::Display,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream as Control},
    path::Path,
    process::ExitStatus,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};
use virtcontainers_sys::{
    log::HELPER_LIMIT,
    process::{Mark, ProcessRef, Signal},
    spawn::{Child, Spawn},
};

use super::{ROLE, ShimError, ShimOptions, socket, socket_name};
use crate::error::guest_text;

/// The longest line of options, in bytes: three paths at their longest, and some ids.
const MAX_OPTIONS: u64 = 64 << 10;
/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 4 << 10;
/// How long a shim may take from its start until it has dialled the agent.
const START: Duration = Duration::from_secs(30);

const READY: &[u8] = b"ready\n";
const GO: &[u8] = b"go\n";

/// A shim process that this process started. To drop it leaves it running if it was let [go](Self::go), and ends it
/// otherwise.
#[derive(Debug)]
pub struct ShimProcess {
    child: Child,
    control: UnixStream,
}

impl ShimProcess {
    /// Starts a shim. When this returns it has all that it needs, clients can attach, and it waits to be let go.
    ///
    /// Its program is called with the one argument `shim` and calls [`run_inherited`](super::run_inherited).
    ///
    /// # Errors
    /// [`ShimError`]; nothing is left running.
    pub async fn launch(program: &Path, options: &ShimOptions, mark: &Mark) -> Result<Self, ShimError> {
        let name = socket_name(&options.exec);
        let listener = socket::bind(&options.dir, &name).map_err(|source| ShimError::Path {
            what: "listen on",
            path: options.dir.join(name),
            source,
        })?;
        let (ours, theirs) = Control::pair().map_err(ShimError::Runtime)?;
        ours.set_nonblocking(true).map_err(ShimError::Runtime)?;
        let child = Spawn::new(program)
            .args(["shim"])
            .cwd(&options.sandbox_dir)
            .fd(OwnedFd::from(listener), 0)
            .fd(OwnedFd::from(theirs), 1)
            .mark(mark)
            .stderr(options.sandbox_dir.join(format!("{ROLE}.log")))
            .largest_file(HELPER_LIMIT)
            .spawn()?;
        let control = UnixStream::from_std(ours).map_err(ShimError::Runtime)?;
        let mut shim = Self { child, control };
        let begun = match timeout(START, shim.begin(options)).await {
            Ok(begun) => begun,
            Err(_elapsed) => {
                let (container, exec) = (options.container.clone(), options.exec.clone());
                Err(ShimError::Late { container, exec, after: START })
            }
        };
        match begun {
            Ok(()) => Ok(shim),
            Err(error) => {
                shim.end().await.ok(); // the first error is the one to tell
                Err(error)
            }
        }
    }

    async fn begin(&mut self, options: &ShimOptions) -> Result<(), ShimError> {
        let mut line = serde_json::to_vec(options).map_err(ShimError::Options)?;
        line.push(b'\n');
        let told = self.control.write_all(&line).await;
        let mut answer = Vec::new();
        let heard = (&mut self.control).take(MAX_ANSWER).read_buf_line(&mut answer).await;
        let (container, exec) = (&options.container, &options.exec);
        match told.and(heard) {
            Ok(()) if answer == READY => Ok(()),
            Ok(()) if !answer.is_empty() => {
                let why = guest_text(String::from_utf8_lossy(&answer).trim());
                Err(ShimError::NotReady { container: container.clone(), exec: exec.clone(), why })
            }
            // It hung up without a word.
            Ok(()) | Err(_) => {
                let status = self.child.wait().await.map_err(ShimError::Runtime)?;
                Err(ShimError::ended(container, exec, status))
            }
        }
    }

    /// What to keep of it.
    #[must_use]
    pub fn process(&self) -> ProcessRef {
        self.child.process()
    }

    /// Lets it go to work: it is on record now.
    ///
    /// # Errors
    /// When it has ended meanwhile.
    pub async fn go(&mut self) -> Result<(), ShimError> {
        self.control.write_all(GO).await.map_err(ShimError::Runtime)
    }

    /// Waits for its exit: with its process's code. Cancel safe.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it, and waits until it is gone. Its process in the guest runs on.
    ///
    /// # Errors
    /// When it cannot be signalled or watched.
    pub async fn end(&mut self) -> io::Result<()> {
        self.child.signal(Signal::KILL)?;
        self.child.wait().await.map(drop)
    }
}

/// Reads up to a newline.
trait ReadLine {
    async fn read_buf_line(&mut self, line: &mut Vec<u8>) -> io::Result<()>;
}

impl<R: tokio::io::AsyncRead + Unpin> ReadLine for R {
    async fn read_buf_line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        while !line.ends_with(b"\n") {
            match self.read_buf(line).await? {
                0 => return Ok(()),
                _more => {}
            }
        }
        Ok(())
    }
}

/// The shim's side: what it is told.
pub(super) fn read_options(control: &Control) -> Result<ShimOptions, ShimError> {
    let mut line = String::new();
    BufReader::new(control.take(MAX_OPTIONS)).read_line(&mut line).map_err(ShimError::Runtime)?;
    if !line.ends_with('\n') {
        return Err(ShimError::Abandoned);
    }
    serde_json::from_str(&line).map_err(ShimError::Options)
}

/// The shim's side: it cannot serve.
pub(super) fn refuse(mut control: &Control, why: &dyn Display) -> io::Result<()> {
    control.write_all(format!("{why}\n").as_bytes())
}

/// The shim's side: it can serve, and waits until it is on record.
pub(super) fn await_go(mut control: &Control) -> Result<(), ShimError> {
    control.write_all(READY).map_err(ShimError::Runtime)?;
    let mut go = [0; GO.len()];
    match control.read_exact(&mut go) {
        Ok(()) if go == GO => Ok(()),
        Ok(()) | Err(_) => Err(ShimError::Abandoned),
    }
}
