//! Containers: one file for each verb.

pub(crate) mod create;
mod delete;
mod exec;
mod kill;
mod pause;
mod record;
mod start;
mod status;
mod stop;
mod wait;

use std::{fmt, sync::Arc};

use virtcontainers_types::ContainerId;

pub(crate) use create::{PreparedContainer, prepare};
pub(crate) use record::{ContainerPhase, ContainerRecord};
pub(crate) use start::start_in;
pub(crate) use status::status_of;

use crate::{
    config::Cmd,
    drive::to_the_end,
    error::Error,
    process::Process,
    sandbox::{DeleteMode, Sandbox, Session, Shared, StopMode},
    signal::{KillScope, Signal},
    state::{ContainerOperation, SandboxOperation},
    status::ContainerStatus,
};

/// A container of a sandbox (the reference document's `VCContainer`). Clones are the same container.
///
/// A handle names a container, whether it exists or not: its verbs tell.
#[derive(Clone)]
pub struct Container {
    sandbox: Sandbox,
    id: ContainerId,
}

impl Container {
    pub(crate) const fn new(sandbox: Sandbox, id: ContainerId) -> Self {
        Self { sandbox, id }
    }

    /// The container's id.
    #[must_use]
    pub const fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The sandbox that it is in.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(self.sandbox.shared())
    }

    /// Starts its command.
    ///
    /// # Errors
    /// When the sandbox does not run, the command has ended before, or it cannot be executed.
    pub async fn start(&self) -> Result<(), Error> {
        to_the_end(self.sandbox.runtime(), "start container", start::start(self.shared(), self.id.clone()))
            .await
    }

    /// Ends its command: SIGTERM, a bounded wait, SIGKILL; by force SIGKILL at once.
    ///
    /// # Errors
    /// When the agent does not answer. To end a guest that is stuck, stop the sandbox.
    pub async fn stop(&self, mode: StopMode) -> Result<(), Error> {
        to_the_end(self.sandbox.runtime(), "stop container", stop::stop(self.shared(), self.id.clone(), mode))
            .await
    }

    /// Signals its command, or all of its processes.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self, signal: Signal, scope: KillScope) -> Result<(), Error> {
        to_the_end(
            self.sandbox.runtime(),
            "kill container",
            kill::kill(self.shared(), self.id.clone(), signal, scope),
        )
        .await
    }

    /// Deletes it: out of the guest, and out of the shared directory. Its id is free again.
    ///
    /// # Errors
    /// When it runs and the mode is [`DeleteMode::IfStopped`].
    pub async fn delete(&self, mode: DeleteMode) -> Result<(), Error> {
        to_the_end(
            self.sandbox.runtime(),
            "delete container",
            delete::delete(self.shared(), self.id.clone(), mode),
        )
        .await
    }

    /// Freezes its processes.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pause(&self) -> Result<(), Error> {
        to_the_end(self.sandbox.runtime(), "pause container", pause::pause(self.shared(), self.id.clone()))
            .await
    }

    /// Thaws its processes.
    ///
    /// # Errors
    /// When it was not paused.
    pub async fn resume(&self) -> Result<(), Error> {
        to_the_end(self.sandbox.runtime(), "resume container", pause::resume(self.shared(), self.id.clone()))
            .await
    }

    /// Its status. Never waits for another verb, and never asks the guest: a command that has ended is seen by
    /// [`Container::wait`] only.
    ///
    /// # Errors
    /// When it does not exist or its record cannot be read.
    pub async fn status(&self) -> Result<ContainerStatus, Error> {
        status::status(&self.sandbox, &self.id)
    }

    /// Runs a further process in it (the reference document's `EnterContainer`).
    ///
    /// # Errors
    /// An invalid command with all its violations; a container that does not run; a program that cannot be executed.
    pub async fn exec(&self, cmd: Cmd) -> Result<Process, Error> {
        to_the_end(self.sandbox.runtime(), "enter container", exec::exec(self.clone(), cmd)).await
    }

    /// Its first process, for its streams.
    ///
    /// # Errors
    /// When the container does not exist, or its agent cannot be reached.
    pub async fn process(&self) -> Result<Process, Error> {
        to_the_end(self.sandbox.runtime(), "attend container", exec::first_process(self.clone())).await
    }

    /// Waits for its command to end: the exit code, 128+n for a signal n. Not bounded in time, cancel safe. The end is
    /// recorded, so whoever asks later learns it too.
    ///
    /// # Errors
    /// When the virtual machine ends first, or the command has ended before and nobody saw how.
    pub async fn wait(&self) -> Result<i32, Error> {
        wait::wait(self).await
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("sandbox", self.sandbox.id()).field("id", &self.id).finish()
    }
}

/// Opens a session for a verb on a container of it, the sandbox permitting.
async fn open(
    shared: &Arc<Shared>,
    id: &ContainerId,
    operation: SandboxOperation,
    verb: &'static str,
) -> Result<(Session, ContainerRecord), Error> {
    let session = Session::open(shared).await?;
    let record = session.container(id)?;
    session.admit(operation, verb)?;
    Ok((session, record))
}

/// A verb that needs the container in the guest.
async fn open_in_guest(
    shared: &Arc<Shared>,
    id: &ContainerId,
    operation: ContainerOperation,
    verb: &'static str,
) -> Result<(Session, ContainerRecord, crate::sandbox::Todo), Error> {
    let (session, record) = open(shared, id, SandboxOperation::UseContainer, verb).await?;
    let todo = session.admit_container(&record, operation, verb)?;
    Ok((session, record, todo))
}
