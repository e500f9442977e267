//! Storages as they come in requests.

use std::{path::PathBuf, sync::Arc};

use virtcontainers_agent_protocol::api::agent;

use super::unset;
use crate::{agent::Agent, error::CallError, storage::Storage};

/// Mounts `storages` in order, or none of them. The mount points, for [`release`].
pub(super) async fn acquire(
    agent: &Arc<Agent>,
    storages: &[agent::Storage],
) -> Result<Vec<PathBuf>, CallError> {
    let mut held = Vec::new();
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

fn read(storage: &agent::Storage) -> Result<Storage, CallError> {
    unset("Storage.fs_group", storage.fs_group.is_none())?;
    unset("Storage.driver_options", storage.driver_options.is_empty())?;
    Ok(Storage {
        driver: storage.driver.parse()?,
        source: storage.source.clone(),
        kind: storage.fstype.clone(),
        options: storage.options.clone(),
        mount_point: PathBuf::from(&storage.mount_point),
    })
}
