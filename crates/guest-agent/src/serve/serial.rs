//! virtio-serial: one port, a yamux session over it, one session after the other as the host comes and goes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::io::AsyncWriteExt as _;
use virtcontainers_agent_protocol::{
    ports,
    transport::{self, Mux},
};

use super::{ServeError, services};
use crate::{
    agent::Agent,
    init::modules::ModuleError,
    sys::{port::Port, uevent::Uevents},
};

/// Where the kernel lists the ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// yamux's frame that ends a session for a protocol error: version, type, flags, stream and code.
const GO_AWAY: [u8; 12] = [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Serves until dropped; waits for the port to appear.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    agent: &Arc<Agent>,
    load: impl FnOnce() -> Result<(), ModuleError>,
) -> Result<(), ServeError> {
    let uevents = Uevents::open().map_err(ServeError::io("watch for", "serial ports"))?;
    load()?;
    let device = find(&uevents).await?;
    drop(uevents);
    let name = device.display().to_string();
    loop {
        let port = Port::open(&device).map_err(ServeError::io("open", &name))?;
        // An orderly end leaves nothing unread in the port; after any other it is opened anew, which empties it.
        while session(agent, &port, &name).await?.is_orderly() {}
    }
}

/// How a session ended.
enum End {
    Orderly,
    Broken,
}

impl End {
    fn is_orderly(&self) -> bool {
        matches!(self, Self::Orderly)
    }
}

async fn session(agent: &Arc<Agent>, port: &Port, name: &str) -> Result<End, ServeError> {
    port.connected().await.map_err(ServeError::io("watch", name))?;
    let (mux, incoming) = Mux::server(port.clone());
    let server = transport::serve(services(agent), incoming).await?;
    let end = mux.closed().await;
    // Its connections are at their ends already, and nobody shall wait for their calls.
    drop(server);
    match end {
        Ok(()) => Ok(End::Orderly),
        Err(error) => {
            tracing::warn!(%error, "session on the serial port");
            // The host may have come anew while the old session was still being read: it must not wait for answers.
            port.clone().write_all(&GO_AWAY).await.ok();
            Ok(End::Broken)
        }
    }
}

/// The device of the port with our name, once the host has told the kernel the names.
async fn find(uevents: &Uevents) -> Result<PathBuf, ServeError> {
    loop {
        if let Some(device) = named(Path::new(PORTS), ports::SERIAL_PORT_NAME) {
            return Ok(device);
        }
        uevents.next().await.map_err(ServeError::io("watch for", "serial ports"))?;
    }
}

/// The port called `name`, as its file in `/dev`.
fn named(class: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(class).ok()?;
    let found = entries.filter_map(Result::ok).find(|entry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|present| present.trim_end() == name)
    })?;
    Some(Path::new("/dev").join(found.file_name()))
}
