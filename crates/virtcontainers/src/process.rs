//! A process in a container: its end, its signals, its streams.

use std::{fmt, sync::Arc};

use virtcontainers_agent_client::{
    Agent, TerminalSize,
    io::{OutputStream, ProcessOutput, ProcessStdin},
};
use virtcontainers_types::{ContainerId, ExecId};

use crate::{
    config::check_terminal_size,
    container::{Attachment, Container, attach, shim, wait_process},
    drive::to_the_end,
    error::Error,
    sandbox::Visit,
    signal::Signal,
};

/// A process in a container (the reference document's `Process` and `IOStream`). Clones are the same process.
#[derive(Clone)]
pub struct Process {
    container: Container,
    id: ExecId,
    agent: Arc<dyn Agent>,
}

impl Process {
    pub(crate) fn new(container: Container, id: ExecId, agent: Arc<dyn Agent>) -> Self {
        Self { container, id, agent }
    }

    /// The process's id (the reference document's *token*); of a container's first process, the container's own.
    #[must_use]
    pub const fn id(&self) -> &ExecId {
        &self.id
    }

    /// The container it runs in.
    #[must_use]
    pub const fn container(&self) -> &Container {
        &self.container
    }

    /// Attaches to it: through its shim, shared with the log and whoever else is attached, or straight to the agent where
    /// there is no shim. With a shim use this and not the streams below, which would take bytes away from it.
    ///
    /// # Errors
    /// When the shim ends at this moment.
    pub async fn attach(&self) -> Result<Attachment, Error> {
        attach(self).await
    }

    /// Leaves it to a shim, if it has none that lives: from now on its output goes into the log and its end is known,
    /// whoever attends. Let go of its streams first, for what they still read is not in the log.
    ///
    /// # Errors
    /// When its container has ended; when there is no program for the shim, or it cannot reach the agent.
    pub async fn hand_over(&self) -> Result<(), Error> {
        let runtime = self.container.sandbox().runtime();
        to_the_end(runtime, "hand over", shim::hand_over(self.container.clone(), self.id.clone())).await
    }

    /// The process id of the shim that stands for it on the host, if it has one that lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let sandbox = self.container.sandbox();
        let dir = shim::dir(sandbox.runtime(), sandbox.id(), self.container_id());
        shim::living(&dir, &self.id).map(|shim| shim.pid)
    }

    pub(crate) fn agent(&self) -> &dyn Agent {
        self.agent.as_ref()
    }

    fn container_id(&self) -> &ContainerId {
        self.container.id()
    }

    /// Waits for the process to end: its exit code, 128+n for a signal n. Not bounded in time, cancel safe.
    ///
    /// # Errors
    /// When the agent or the virtual machine goes before the process ends.
    pub async fn wait(&self) -> Result<i32, Error> {
        if self.id == ExecId::from(self.container_id()) {
            return self.container.wait().await;
        }
        wait_process(self).await
    }

    /// Signals the process.
    ///
    /// # Errors
    /// When the process has ended, or the agent does not answer.
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.awake("signal a process of").await?;
        self.agent
            .signal_process(self.container_id(), Some(&self.id), signal.number())
            .await
            .map_err(Error::from)
    }

    /// Tells the process's terminal its size (the reference document's `WinsizeProcess`).
    ///
    /// # Errors
    /// When it has no terminal, or the agent does not answer; for a size that no terminal can have.
    pub async fn resize(&self, size: TerminalSize) -> Result<(), Error> {
        check_terminal_size(size)?;
        self.awake("resize a terminal of").await?;
        self.agent.resize_terminal(self.container_id(), &self.id, size).await.map_err(Error::from)
    }

    /// A guest that stands still gives no answer: better to say so than to wait for it.
    async fn awake(&self, verb: &'static str) -> Result<(), Error> {
        Visit::guest(self.container.sandbox().shared(), verb).await.map(drop)
    }

    /// Its standard input, to be written; `shutdown` closes it. It takes input only when the command asked for `stdin`.
    #[must_use]
    pub fn stdin(&self) -> ProcessStdin {
        ProcessStdin::new(Arc::clone(&self.agent), self.container_id().clone(), self.id.clone())
    }

    /// Its standard output, to be read; with a terminal, all of its output.
    #[must_use]
    pub fn stdout(&self) -> ProcessOutput {
        self.output(OutputStream::Stdout)
    }

    /// Its standard error, to be read.
    #[must_use]
    pub fn stderr(&self) -> ProcessOutput {
        self.output(OutputStream::Stderr)
    }

    fn output(&self, stream: OutputStream) -> ProcessOutput {
        ProcessOutput::new(Arc::clone(&self.agent), self.container_id().clone(), self.id.clone(), stream)
    }

    /// Closes its standard input.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn close_stdin(&self) -> Result<(), Error> {
        self.agent.close_stdin(self.container_id(), &self.id).await.map_err(Error::from)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("sandbox", self.container.sandbox().id())
            .field("container", self.container_id())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
