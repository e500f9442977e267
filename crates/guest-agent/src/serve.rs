//! The transports on which the host reaches the agent. Every stream on any of them is one ttrpc connection.

pub mod serial;
mod streams;
pub mod unix;
pub mod vsock;

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use thiserror::Error;
use ttrpc::r#async::Service;
use virtcontainers_agent_protocol::transport::MuxError;

use crate::{
    VERSION,
    agent::Agent,
    init::{
        cmdline::{Cmdline, Transports},
        modules::{ModuleError, Modules},
    },
    service,
};

/// The agent cannot be reached, or not any more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Listening or watching failed.
    #[error("could not {doing} {what}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        what: String,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The transport's modules.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The ttrpc server.
    #[error("could not serve: {0}")]
    Rpc(#[from] ttrpc::Error),
    /// A yamux session.
    #[error(transparent)]
    Mux(#[from] MuxError),
    /// Neither transport works.
    #[error("the host cannot be reached over vsock ({vsock}) nor over a serial port ({serial})")]
    Nothing {
        /// Why not over vsock.
        vsock: Box<ServeError>,
        /// Why not over serial.
        serial: Box<ServeError>,
    },
}

impl ServeError {
    pub(crate) fn io(doing: &'static str, what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { doing, what, source }
    }
}

/// Where to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// In a virtual machine, as its kernel's command line says.
    Guest(Cmdline),
    /// A Unix socket, outside of one.
    Unix(PathBuf),
}

/// Serves until the transport fails for good. `load` gets the modules for a transport.
///
/// # Errors
/// [`ServeError`]: there is no way to the host then.
pub async fn serve(
    agent: &Arc<Agent>,
    endpoint: &Endpoint,
    modules: Option<&Modules>,
) -> Result<(), ServeError> {
    tracing::info!(version = VERSION, "the agent serves");
    let load = |role| modules.map_or(Ok(()), |modules| modules.load(role));
    match endpoint {
        Endpoint::Unix(path) => unix::serve(agent, path).await,
        Endpoint::Guest(cmdline) => match cmdline.transports() {
            Transports::Vsock => {
                load("vsock")?;
                vsock::serve(agent, cmdline).await
            }
            Transports::Serial => serial::serve(agent, || load("serial")).await,
            Transports::Any => {
                load("vsock")?;
                // Each alone is enough, and a machine has seldom both: the one without a device waits or fails.
                let vsock = vsock::serve(agent, cmdline);
                let serial = serial::serve(agent, || load("serial"));
                match futures::future::join(vsock, serial).await {
                    (Err(vsock), Err(serial)) => {
                        Err(ServeError::Nothing { vsock: Box::new(vsock), serial: Box::new(serial) })
                    }
                    (Ok(()), _) | (_, Ok(())) => Ok(()),
                }
            }
        },
    }
}

fn services(agent: &Arc<Agent>) -> HashMap<String, Service> {
    service::services(agent)
}
