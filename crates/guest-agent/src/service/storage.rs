//! Storages as they come in requests; `UpdateEphemeralMounts`.

use std::{path::PathBuf, sync::Arc};

use virtcontainers_agent_protocol::api::{
    Empty,
    agent::{self, UpdateEphemeralMountsRequest},
    types::FSGroupChangePolicy,
};

use super::unset;
use crate::{
    agent::Agent,
    error::CallError,
    storage::{Driver, FsGroup, Storage},
};

/// Storages in one request.
const MAX_STORAGES: usize = 1024;

/// Mounts `storages` in order, or none of them. The mount points, for [`release`].
pub(super) async fn acquire(
    agent: &Arc<Agent>,
    storages: &[agent::Storage],
) -> Result<Vec<PathBuf>, CallError> {
    let mut held = Vec::new();
    if storages.len() > MAX_STORAGES {
        return Err(CallError::TooMany { what: "storages in one request", limit: MAX_STORAGES });
    }
    for storage in storages {
        let acquired = match read(storage) {
            Ok(storage) => {
                agent.storages().acquire(&storage).await.map_err(CallError::from).map(|()| storage)
            }
            Err(error) => Err(error),
        };
        match acquired {
            Ok(storage) => held.push(storage.mount_point),
            Err(error) => {
                release(agent, held).await;
                return Err(error);
            }
        }
    }
    Ok(held)
}

/// Gives up what a failed call has acquired.
pub(super) async fn release(agent: &Arc<Agent>, held: Vec<PathBuf>) {
    for mount_point in held.into_iter().rev() {
        if let Err(error) = agent.storages().release(&mount_point).await {
            tracing::warn!(%error, "while taking back a failed call");
        }
    }
}

pub(super) async fn update(
    agent: &Arc<Agent>,
    request: UpdateEphemeralMountsRequest,
) -> Result<Empty, CallError> {
    let wanted = request.storages.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    agent.storages().update(wanted).await?;
    Ok(Empty::new())
}

fn read(storage: &agent::Storage) -> Result<Storage, CallError> {
    let driver: Driver = storage.driver.parse()?;
    unset("Storage.fs_group for files of the host", storage.fs_group.is_none() || driver.is_guests())?;
    let group = storage.fs_group.as_ref().map(|group| FsGroup {
        id: group.group_id,
        on_mismatch_only: group.group_change_policy == FSGroupChangePolicy::OnRootMismatch.into(),
    });
    unset("Storage.driver_options", storage.driver_options.is_empty())?;
    Ok(Storage {
        driver,
        group,
        source: storage.source.clone(),
        kind: storage.fstype.clone(),
        options: storage.options.clone(),
        mount_point: PathBuf::from(&storage.mount_point),
    })
}
