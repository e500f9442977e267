//! Containers: one file for each verb.

mod annotations;
mod attach;
mod cleanup;
pub(crate) mod create;
mod delete;
mod exec;
mod intent;
mod kill;
mod logs;
mod pause;
mod processes;
mod record;
pub(crate) mod shim;
mod start;
mod stats;
mod status;
mod stop;
mod update;
mod wait;

use std::{fmt, sync::Arc};

use oci_spec::runtime::LinuxResources;
use virtcontainers_agent_client::GuestProcess;
use virtcontainers_types::{ContainerId, ExecId, stats::ContainerStats};

pub(crate) use attach::attach;
pub use attach::{AttachControl, AttachOutput, AttachStdin, Attachment};
pub(crate) use create::{PreparedContainer, prepare};
pub(crate) use delete::set_aside;
pub(crate) use record::{ContainerPhase, ContainerRecord};
pub(crate) use start::start_in;
pub(crate) use status::status_of;
pub(crate) use wait::wait_process;

use crate::{
    config::Cmd,
    drive::to_the_end,
    error::Error,
    log::{LogOptions, Logs},
    process::Process,
    ps::{ProcessList, ProcessListOptions},
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

    /// Signals its command, or all of its processes. SIGKILL to all of them does not fail when they have ended already.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self, signal: Signal, scope: KillScope) -> Result<(), Error> {
        kill::kill(self, signal, scope).await
    }

    /// Changes its limits within the guest; what is not named stays. They are kept in its record. Limits are OCI's
    /// `linux.resources`, or in short [`ContainerResources`](crate::ContainerResources).
    ///
    /// # Errors
    /// Limits that cannot be, with all their violations; a container that has ended; an agent that cannot set them. The
    /// record keeps the old ones then.
    pub async fn update(&self, resources: impl Into<LinuxResources> + Send) -> Result<(), Error> {
        let update = update::update(self.shared(), self.id.clone(), resources.into());
        to_the_end(self.sandbox.runtime(), "update container", update).await
    }

    /// What it uses: processors, memory, processes, block devices, network.
    ///
    /// # Errors
    /// When it has ended, or its sandbox is paused; when its agent does not answer.
    pub async fn stats(&self) -> Result<ContainerStats, Error> {
        stats::stats(self).await
    }

    /// Lists its processes as ps(1) would (the reference document's `ProcessListContainer`).
    ///
    /// # Errors
    /// Arguments that this library does not serve; a container that has ended; with an agent that has no such call, a
    /// container without `ps`.
    pub async fn processes(&self, options: ProcessListOptions) -> Result<ProcessList, Error> {
        processes::list(self, options).await
    }

    /// Its processes, ordered by their numbers in the guest. With an agent that has no such call, the container's own
    /// `ps` is asked, and the numbers are those within the container.
    ///
    /// # Errors
    /// As [`Container::processes`].
    pub async fn process_table(&self) -> Result<Vec<GuestProcess>, Error> {
        processes::table(self).await
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

    /// Stops and deletes it, and with the last container the sandbox too, all under one lease (the reference document's
    /// `CleanupContainer`).
    ///
    /// # Errors
    /// As [`Container::stop`], [`Container::delete`] and [`Sandbox::delete`].
    pub async fn clean_up(&self, mode: StopMode) -> Result<(), Error> {
        let verb = cleanup::clean_up(self.shared(), self.id.clone(), mode);
        to_the_end(self.sandbox.runtime(), "clean up container", verb).await
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

    /// Its status. Never waits for another verb, and never asks the guest: that a command has ended is known from its
    /// shim, or when somebody waited for it.
    ///
    /// # Errors
    /// When it does not exist or its record cannot be read.
    pub async fn status(&self) -> Result<ContainerStatus, Error> {
        status::status(&self.sandbox, &self.id)
    }

    /// Runs a further process in it (the reference document's `EnterContainer`). Several can be started at once, and none
    /// waits for another verb at work on the sandbox.
    ///
    /// # Errors
    /// An invalid command with all its violations; a container that does not run or is paused; a program that cannot be
    /// executed.
    pub async fn exec(&self, cmd: Cmd) -> Result<Process, Error> {
        self.start_process(None, cmd).await
    }

    /// [`Container::exec`] under an id of the caller's choice, by which it can be found again.
    ///
    /// # Errors
    /// As there; [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) when the container has such a process.
    pub async fn exec_as(&self, id: ExecId, cmd: Cmd) -> Result<Process, Error> {
        self.start_process(Some(id), cmd).await
    }

    async fn start_process(&self, id: Option<ExecId>, cmd: Cmd) -> Result<Process, Error> {
        to_the_end(self.sandbox.runtime(), "enter container", exec::exec(self.clone(), id, cmd)).await
    }

    /// Its first process, for its streams.
    ///
    /// # Errors
    /// When the container does not exist, or its agent cannot be reached.
    pub async fn process(&self) -> Result<Process, Error> {
        exec::first_process(self.clone()).await
    }

    /// The handle of a process that was started before, by whomever. Whether it is there, its verbs tell.
    ///
    /// # Errors
    /// When the container does not exist, or its agent cannot be reached.
    pub async fn process_by_id(&self, id: &ExecId) -> Result<Process, Error> {
        exec::process_by_id(self.clone(), id.clone()).await
    }

    /// Attaches to its first process: see [`Process::attach`].
    ///
    /// # Errors
    /// As there.
    pub async fn attach(&self) -> Result<Attachment, Error> {
        self.process().await?.attach().await
    }

    /// What one of its processes has written, as its shim keeps it: up to 10 MiB twice. Empty where there was no shim.
    ///
    /// # Errors
    /// When the container does not exist or the log cannot be read.
    pub async fn logs(&self, options: LogOptions) -> Result<Logs, Error> {
        logs::open(self, options)
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
    session.record.admit(operation, verb)?;
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
    let todo = session.record.admit_container(&record, operation, verb)?;
    Ok((session, record, todo))
}
