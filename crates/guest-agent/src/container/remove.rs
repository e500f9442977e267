//! Removing a container, whatever it is doing.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{Container, create, hooks};
use crate::{agent::Agent, error::CallError};

/// How long the kernel may take to end what was killed, unless the request says.
const PATIENCE: Duration = Duration::from_secs(60);

/// Removes the container named `id`. One that is still being made is waited for, so that no creation that was given up
/// outlives its removal.
///
/// # Errors
/// [`CallError::NoContainer`], and those of [`remove`].
pub async fn remove_named(agent: &Agent, id: &str, limit: Option<Duration>) -> Result<(), CallError> {
    let deadline = Instant::now() + limit.unwrap_or(PATIENCE);
    let container = match timeout_at(deadline, agent.container_once_made(id)).await {
        Ok(container) => container?,
        Err(_elapsed) => {
            return Err(CallError::Timeout(format!("the creation of container `{id}` to end")));
        }
    };
    remove(agent, &container, Some(deadline - Instant::now())).await
}

/// Kills everything in the container, waits until it is gone, and takes back what it held. When it fails, it can be
/// tried again.
///
/// # Errors
/// [`CallError::Timeout`] and [`CallError::Io`].
pub async fn remove(
    agent: &Agent,
    container: &Arc<Container>,
    limit: Option<Duration>,
) -> Result<(), CallError> {
    let _verb = container.verb.lock().await;
    let group = container.cgroup.directory();
    container.cgroup.kill().map_err(CallError::io("kill everything in", group))?;
    // Without a group of its own, as outside of a virtual machine, there is the first process at least.
    let kill = rustix::process::Signal::KILL.as_raw().cast_unsigned();
    container.init.signal(agent.reaper(), kill).map_err(CallError::io("kill the first process of", group))?;
    let gone = async {
        container.init.exit().wait().await;
        container.cgroup.emptied().await
    };
    match tokio::time::timeout(limit.unwrap_or(PATIENCE), gone).await {
        Ok(emptied) => emptied.map_err(CallError::io("watch", group))?,
        Err(_elapsed) => {
            return Err(CallError::Timeout(format!("the processes of container `{}` to end", container.id)));
        }
    }
    container.cgroup.remove().map_err(CallError::io("remove", group))?;
    for mount_point in container.storages.iter().rev() {
        agent.storages().release(mount_point).await?;
    }
    agent.ooms().unwatch(&container.id);
    create::clear(agent, &container.id);
    agent.forget(&container.id);
    hooks::after_stop(agent.reaper(), container).await;
    Ok(())
}
