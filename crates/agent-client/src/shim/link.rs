//! The connection to the agent, made anew whenever it breaks.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::sleep};
use virtcontainers_agent_protocol::transport::AgentAddress;

use crate::{
    agent::Agent,
    connector::AgentConnector,
    error::{AgentError, AgentErrorKind},
};

/// The first pause before the agent is dialled again; each is twice as long as the one before it.
const FIRST: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST: Duration = Duration::from_secs(2);

/// A connection to the agent.
#[derive(Debug)]
pub(super) struct Link {
    connector: Arc<dyn AgentConnector>,
    address: AgentAddress,
    current: Mutex<Connection>,
}

/// One connection after another, each with its number.
#[derive(Debug, Clone)]
struct Connection {
    agent: Arc<dyn Agent>,
    number: u64,
}

impl Link {
    /// Connects, once.
    pub(super) async fn new(
        connector: Arc<dyn AgentConnector>,
        address: AgentAddress,
    ) -> Result<Self, AgentError> {
        let agent = connector.connect(&address).await?;
        Ok(Self { connector, address, current: Mutex::new(Connection { agent, number: 0 }) })
    }

    /// Asks the agent, and asks again when the connection breaks under it: for what may be asked twice. Waits for as
    /// long as there is no connection.
    pub(super) async fn ask<T, F: Future<Output = Result<T, AgentError>>>(
        &self,
        call: impl Fn(Arc<dyn Agent>) -> F,
    ) -> Result<T, AgentError> {
        loop {
            let Connection { agent, number } = self.current.lock().await.clone();
            match call(agent).await {
                Err(error) if is_broken(&error) => {
                    tracing::warn!(%error, "the connection to the agent broke");
                    self.renew(number).await;
                }
                answer => return answer,
            }
        }
    }

    /// Asks the agent once; a connection that breaks is made anew for those who come after.
    pub(super) async fn ask_once<T, F: Future<Output = Result<T, AgentError>>>(
        &self,
        call: impl FnOnce(Arc<dyn Agent>) -> F,
    ) -> Result<T, AgentError> {
        let Connection { agent, number } = self.current.lock().await.clone();
        let answer = call(agent).await;
        if answer.as_ref().is_err_and(is_broken) {
            self.renew(number).await;
        }
        answer
    }

    /// Puts another connection in the place of the one with this number, unless somebody has done so already.
    async fn renew(&self, broken: u64) {
        let mut current = self.current.lock().await;
        if current.number != broken {
            return;
        }
        let mut pause = FIRST;
        loop {
            sleep(pause).await; // an agent that can be reached again tells nobody
            let dialled = async {
                let agent = self.connector.connect(&self.address).await?;
                agent.check().await?;
                Ok::<_, AgentError>(agent)
            };
            match dialled.await {
                Ok(agent) => {
                    *current = Connection { agent, number: broken + 1 };
                    return;
                }
                Err(error) => tracing::debug!(%error, ?pause, "the agent cannot be reached"),
            }
            pause = (2 * pause).min(LONGEST);
        }
    }
}

/// Whether an error is of the connection, not of what was asked for.
fn is_broken(error: &AgentError) -> bool {
    matches!(
        error.kind(),
        AgentErrorKind::Disconnected
            | AgentErrorKind::Transport
            | AgentErrorKind::NotReady
            | AgentErrorKind::Timeout
    )
}
