//! vsock: the agent listens on its port, and then says so to the host if the host wants to hear it.

use std::{future::pending, io, sync::Arc};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};
use virtcontainers_agent_protocol::{ports, transport};

use super::{ServeError, services};
use crate::{agent::Agent, init::power};

/// Serves until dropped.
///
/// # Errors
/// [`ServeError`]: the kernel has no vsock.
pub async fn serve(agent: &Arc<Agent>, announce: Option<u32>) -> Result<(), ServeError> {
    let address = VsockAddr::new(VMADDR_CID_ANY, ports::AGENT);
    let listener = VsockListener::bind(address)
        .map_err(ServeError::io("listen on", format!("vsock port {}", ports::AGENT)))?;
    let _server = transport::serve(services(agent), listener.incoming()).await?;
    if let Some(port) = announce
        && let Err(error) = announce_to(port).await
    {
        power::say(&format!("could not announce to vsock port {port} of the host: {error}"));
    }
    pending().await
}

/// Says that the agent listens, and keeps the connection until the host closes it.
async fn announce_to(port: u32) -> io::Result<()> {
    let mut host = VsockStream::connect(VsockAddr::new(ports::HOST_CID, port)).await?;
    host.write_all(ports::ANNOUNCEMENT).await?;
    let mut ignored = [0; 64];
    while host.read(&mut ignored).await? > 0 {}
    Ok(())
}
