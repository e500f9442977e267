//! vsock: the agent listens on its port, and then says so to the host if the host wants to hear it.

use std::{future::pending, io, sync::Arc, time::Duration};

use futures::future::join;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};
use virtcontainers_agent_protocol::{ports, transport};

use super::{ServeError, services, streams::Streams};
use crate::{
    agent::Agent,
    init::{cmdline::Cmdline, power},
};

/// How long the host may take to accept the announcement before it is made again: the way to the host can lose a
/// packet that is sent while the device is being set up.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it is made.
const ATTEMPTS: u32 = 120;

/// Serves until dropped.
///
/// # Errors
/// [`ServeError`]: the kernel has no vsock.
pub async fn serve(agent: &Arc<Agent>, cmdline: &Cmdline) -> Result<(), ServeError> {
    let address = VsockAddr::new(VMADDR_CID_ANY, ports::AGENT);
    let listener = VsockListener::bind(address)
        .map_err(ServeError::io("listen on", format!("vsock port {}", ports::AGENT)))?;
    let _server = transport::serve(services(agent), listener.incoming()).await?;
    // They are there when the host hears of the agent.
    let streams = Streams::listen(cmdline);
    let announced = async {
        if let Some(port) = cmdline.announce()
            && let Err(error) = announce_to(port).await
        {
            power::say(&format!("could not announce to vsock port {port} of the host: {error}"));
        }
    };
    join(announced, streams.serve(agent)).await;
    pending().await
}

/// Says that the agent listens, and keeps the connection until the host closes it.
async fn announce_to(port: u32) -> io::Result<()> {
    let mut host = connect(VsockAddr::new(ports::HOST_CID, port)).await?;
    host.write_all(ports::ANNOUNCEMENT).await?;
    let mut ignored = [0; 64];
    while host.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// Connects, again and again while nothing answers; a refusal is final.
async fn connect(host: VsockAddr) -> io::Result<VsockStream> {
    for _ in 0..ATTEMPTS {
        match timeout(PATIENCE, VsockStream::connect(host)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {}
            Ok(answer) => return answer,
            Err(_elapsed) => {}
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
