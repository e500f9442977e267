//! Removing a container, whatever it is doing.

use std::{sync::Arc, time::Duration};

use super::{Container, create};
use crate::{agent::Agent, error::CallError};

/// How long the kernel may take to end what was killed, unless the request says.
const PATIENCE: Duration = Duration::from_secs(60);

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
    for mount_point in &container.storages {
        agent.storages().release(mount_point).await?;
    }
    create::clear(agent, &container.id);
    agent.forget(&container.id);
    Ok(())
}
