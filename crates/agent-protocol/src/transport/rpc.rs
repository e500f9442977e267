//! ttrpc over any stream.

use std::collections::HashMap;
use std::io;

use futures::StreamExt;
use ttrpc::r#async::transport::{Listener, Socket};
use ttrpc::r#async::{Client, Server, Service};

use super::Stream;

/// A ttrpc client on `stream`, to be wrapped by [`crate::api::AgentServiceClient`] and [`crate::api::HealthClient`]
/// (clones share the connection). The connection closes with the last clone.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn client(stream: impl Stream + 'static) -> Client {
    Client::new(Socket::new(stream))
}

/// Serves `services` on each stream that `incoming` yields, until the returned server is shut down or dropped.
///
/// Services come from [`crate::api::create_agent_service`] and [`crate::api::create_health`]. Returns at once: the
/// server works in the background. `incoming` may end (a yamux session does): no further connections come then, and
/// those that there are go on. An error that it yields is logged and passed over, so it must not repeat one forever.
///
/// # Errors
/// Those of [`Server::start`]; none is known for a custom listener.
pub async fn serve<S>(
    services: HashMap<String, Service>,
    incoming: impl futures::Stream<Item = io::Result<S>> + Send + 'static,
) -> ttrpc::Result<Server>
where
    S: Stream + 'static,
{
    // The server's own shutdown panics if its listener has ended by itself: let it go on without yielding.
    let endless = incoming.chain(futures::stream::pending());
    let mut server = Server::new().add_listener(Listener::new(endless)).register_service(services);
    server.start().await?;
    Ok(server)
}
