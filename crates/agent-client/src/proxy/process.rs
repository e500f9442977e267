//! A proxy in a process of its own: how it is started, watched, found again and replaced.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde::{Deserialize, Serialize};
use virtcontainers_sys::{
    log::HELPER_LIMIT,
    process::{Mark, ProcessRef, Signal},
    spawn::{Child, Spawn},
    unix,
};

use super::{PROXY_SOCKET, ProxyError, ROLE};

/// What a sandbox's record keeps of its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyRecord {
    /// The proxy's process.
    pub process: ProcessRef,
}

/// A proxy process that this process started.
///
/// Its program is called with the one argument `proxy` and calls [`run_inherited`](super::run_inherited): it gets the
/// sandbox's directory as working directory and the listening socket as standard input, so a client can connect as
/// soon as [`ProxyProcess::launch`] has returned. Dropping this does not end the process.
#[derive(Debug)]
pub struct ProxyProcess {
    program: PathBuf,
    dir: PathBuf,
    mark: Mark,
    child: Child,
}

impl ProxyProcess {
    /// Starts the proxy of the sandbox whose directory is `dir`.
    ///
    /// # Errors
    /// [`ProxyError::Socket`] or [`ProxyError::Spawn`]; nothing is left running.
    pub fn launch(program: &Path, dir: &Path, mark: Mark) -> Result<Self, ProxyError> {
        let child = start(program, dir, &mark)?;
        Ok(Self { program: program.to_owned(), dir: dir.to_owned(), mark, child })
    }

    /// What to keep of it.
    #[must_use]
    pub fn record(&self) -> ProxyRecord {
        ProxyRecord { process: self.child.process() }
    }

    /// Waits for its exit. Cancel safe.
    ///
    /// # Errors
    /// When the process cannot be watched.
    pub async fn exited(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it and waits until it is gone. Done at once when it has exited before.
    ///
    /// # Errors
    /// When it cannot be signalled or watched.
    pub async fn stop(&mut self) -> io::Result<ExitStatus> {
        self.child.signal(Signal::KILL)?; // it holds nothing that needs cleaning up
        self.child.wait().await
    }

    /// Replaces it: the old process is ended, and a new one takes its place at the same address. Connections through
    /// the old one are lost; the guest begins anew with the new one.
    ///
    /// # Errors
    /// As [`ProxyProcess::launch`], and [`ProxyError::Runtime`] when the old process cannot be ended.
    pub async fn restart(&mut self) -> Result<ProxyRecord, ProxyError> {
        self.stop().await.map_err(ProxyError::Runtime)?;
        self.child = start(&self.program, &self.dir, &self.mark)?;
        Ok(self.record())
    }
}

impl ProxyRecord {
    /// Whether the proxy runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Ends a proxy that another process started, and waits until it is gone. Nothing to do when it is gone already.
    ///
    /// # Errors
    /// When it cannot be signalled or watched.
    pub async fn stop(&self) -> io::Result<()> {
        match self.process.open()? {
            Some(pidfd) => {
                pidfd.signal(Signal::KILL)?;
                pidfd.exited().await
            }
            None => Ok(()),
        }
    }
}

fn start(program: &Path, dir: &Path, mark: &Mark) -> Result<Child, ProxyError> {
    let listener = unix::bind_in(dir, PROXY_SOCKET).map_err(|source| ProxyError::Socket {
        what: "listen on",
        path: dir.join(PROXY_SOCKET),
        source,
    })?;
    let spawn = Spawn::new(program)
        .args(["proxy"])
        .cwd(dir)
        .fd(OwnedFd::from(listener), 0)
        .mark(mark)
        .stderr(dir.join(format!("{ROLE}.log")))
        .largest_file(HELPER_LIMIT);
    Ok(spawn.spawn()?)
}
