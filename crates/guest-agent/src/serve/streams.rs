//! The agent's own streams beside its calls, over vsock: its log, and shells of the guest if they are wanted.

use std::{future::Future, io, sync::Arc};

use futures::{
    StreamExt as _,
    future::{BoxFuture, join},
    stream::FuturesUnordered,
};
use tokio::io::AsyncReadExt as _;
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

use crate::{agent::Agent, console, init::cmdline::Cmdline, log};

/// Connections to each port at a time; further ones are closed.
const MAX_CONNECTIONS: usize = 8;

/// The listening ports. One that cannot be had is missed and nothing else.
#[derive(Debug)]
pub(super) struct Streams {
    log: Option<VsockListener>,
    console: Option<VsockListener>,
}

impl Streams {
    pub(super) fn listen(cmdline: &Cmdline) -> Self {
        let listen = |port| match VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port)) {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::error!(port, %error, "could not listen on a vsock port");
                None
            }
        };
        Self { log: listen(cmdline.log_port()), console: cmdline.debug_console_port().and_then(listen) }
    }

    /// Serves until dropped.
    pub(super) async fn serve(self, agent: &Arc<Agent>) {
        let log = async {
            if let Some(listener) = self.log {
                accept(listener, follow).await;
            }
        };
        let console = async {
            if let Some(listener) = self.console {
                accept(listener, |stream| shell(agent, stream)).await;
            }
        };
        join(log, console).await;
    }
}

async fn shell(agent: &Arc<Agent>, stream: VsockStream) {
    if let Err(error) = console::serve(agent.reaper(), stream).await {
        tracing::warn!(%error, "debug console");
    }
}

/// Gives each connection to `serve`.
async fn accept<'a, F: Future<Output = ()> + Send + 'a>(
    listener: VsockListener,
    serve: impl Fn(VsockStream) -> F,
) {
    let mut connections: FuturesUnordered<BoxFuture<'a, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => connections.push(Box::pin(serve(stream))),
                Ok((refused, _)) => drop(refused),
                Err(error) => tracing::warn!(%error, "a stream was lost"),
            },
            Some(()) = connections.next() => {}
        }
    }
}

/// Until the host hangs up, which shows only to a reader while there is nothing to write.
async fn follow(stream: VsockStream) {
    let (mut from_host, to_host) = tokio::io::split(stream);
    let hung_up = async {
        let mut ignored = [0; 64];
        while from_host.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    let ended = tokio::select! {
        ended = log::follow(log::ring(), to_host) => ended,
        ended = hung_up => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a follower of the log is gone");
    }
}
