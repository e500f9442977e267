//! A Unix socket, for an agent outside of a virtual machine.

use std::{future::pending, io::Write as _, path::Path, sync::Arc};

use futures::stream::unfold;
use tokio::net::UnixListener;
use virtcontainers_agent_protocol::{ports, transport};

use super::{ServeError, services};
use crate::agent::Agent;

/// Serves on `path` until dropped; announces on standard output that it listens.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(agent: &Arc<Agent>, path: &Path) -> Result<(), ServeError> {
    let listener =
        UnixListener::bind(path).map_err(ServeError::io("listen on", path.display().to_string()))?;
    let incoming = unfold(listener, |listener| async {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    });
    let _server = transport::serve(services(agent), incoming).await?;
    // Whoever started the agent without listening to it needs no word.
    std::io::stdout().write_all(ports::ANNOUNCEMENT).ok();
    pending().await
}
