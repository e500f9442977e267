//! Logs: what the processes of a container wrote, as their shims keep it.

use std::path::PathBuf;

use virtcontainers_store::StoreExt as _;
use virtcontainers_types::{ContainerState, ExecId};

use super::{Container, ContainerRecord, shim};
use crate::{
    error::{Cause, Error},
    log::{End, LogOptions, Logs, Text},
};

/// Opens the log of a process of a container.
pub(super) fn open(container: &Container, options: LogOptions) -> Result<Logs, Error> {
    let sandbox = container.sandbox();
    let exec = options.exec.clone().unwrap_or_else(|| ExecId::from(container.id()));
    // A container that is not there has no log, which is not the same as an empty one.
    record(container)?;
    let dir = shim::dir(sandbox.runtime(), sandbox.id(), container.id());
    if options.follow {
        shim::make_dir(&dir)?; // to be watched for the log that is to come
    }
    let name = virtcontainers_agent_client::shim::log_name(&exec);
    let end = Written { container: container.clone(), dir: dir.clone(), exec };
    Logs::open(dir, name, Text::Cri, Box::new(end), &options)
}

fn record(container: &Container) -> Result<ContainerRecord, Error> {
    let sandbox = container.sandbox();
    Ok(sandbox.runtime().store().load_container_as(sandbox.id(), container.id())?)
}

/// A process's log has been written to its end when its shim has ended.
struct Written {
    container: Container,
    dir: PathBuf,
    exec: ExecId,
}

#[async_trait::async_trait]
impl End for Written {
    async fn come(&self) -> Result<(), Error> {
        if let Some(shim) = shim::of(&self.dir, &self.exec) {
            let ended = shim::ended(shim).await;
            return Ok(ended.map_err(|source| Cause::Host { what: "watch a shim", source })?);
        }
        match record(&self.container)?.phase.state() {
            // It may get its shim yet, which is seen in the directory.
            ContainerState::Creating | ContainerState::Ready => std::future::pending().await,
            ContainerState::Running | ContainerState::Paused | ContainerState::Stopped => Ok(()),
        }
    }
}
