//! How the library comes by an [`Agent`]: a public trait, so that a user can bring an agent of their own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout};
use virtcontainers_agent_protocol::transport::{self, AgentAddress};

use crate::{
    agent::Agent,
    error::{AgentError, AgentErrorKind},
    kata::{KataAgent, Timeouts},
    noop::NoopAgent,
};

/// Dials agents.
#[async_trait]
pub trait AgentConnector: Send + Sync + std::fmt::Debug {
    /// Connects to an agent that is known to listen (it announced itself, or it was reached before).
    ///
    /// # Errors
    /// [`AgentError`]; `is_not_ready()` tells an agent that does not listen yet from one that is broken.
    async fn connect(&self, address: &AgentAddress) -> Result<Arc<dyn Agent>, AgentError>;
}

/// Connects to agents that speak the Kata agent protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct KataConnector {
    timeouts: Timeouts,
}

impl KataConnector {
    /// With time-outs for the connection and every call over it.
    #[must_use]
    pub const fn new(timeouts: Timeouts) -> Self {
        Self { timeouts }
    }
}

#[async_trait]
impl AgentConnector for KataConnector {
    async fn connect(&self, address: &AgentAddress) -> Result<Arc<dyn Agent>, AgentError> {
        let after = self.timeouts.connect;
        match timeout(after, transport::connect(address)).await {
            Ok(Ok(stream)) => Ok(Arc::new(KataAgent::over(stream).timeouts(self.timeouts))),
            Ok(Err(source)) => Err(AgentError::Connect { address: address.to_string(), source }),
            Err(_elapsed) => Err(AgentError::Timeout { method: "connect", after }),
        }
    }
}

/// Hands out the [`NoopAgent`] whatever the address.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopConnector;

#[async_trait]
impl AgentConnector for NoopConnector {
    async fn connect(&self, _: &AgentAddress) -> Result<Arc<dyn Agent>, AgentError> {
        Ok(Arc::new(NoopAgent))
    }
}

/// How often to dial: after `first`, then after twice as long each time up to `max`, for `total` in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
    /// When to give up.
    pub total: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(20),
            max: Duration::from_millis(250),
            total: Duration::from_secs(60),
        }
    }
}

/// Dials an agent that does not announce itself, such as the kata-agent, until it answers Check.
///
/// # Errors
/// [`AgentError::NeverReady`] with the last failure when the time is up; any other error ends it at once.
pub async fn dial_until_ready(
    connector: &dyn AgentConnector,
    address: &AgentAddress,
    backoff: Backoff,
) -> Result<Arc<dyn Agent>, AgentError> {
    let end = Instant::now() + backoff.total;
    let mut pause = backoff.first.max(Duration::from_millis(1));
    let mut attempts = 0;
    loop {
        attempts += 1;
        let attempt = async {
            let agent = connector.connect(address).await?;
            agent.check().await?;
            Ok(agent)
        };
        let last = match tokio::time::timeout_at(end, attempt).await {
            Ok(Ok(agent)) => return Ok(agent),
            Ok(Err(error)) if not_yet(&error) => error,
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) => AgentError::Timeout { method: "Check", after: backoff.total },
        };
        let next = Instant::now() + pause;
        if next >= end {
            let (address, last) = (address.to_string(), Box::new(last));
            return Err(AgentError::NeverReady { address, after: backoff.total, attempts, last });
        }
        sleep_until(next).await;
        pause = (pause * 2).min(backoff.max);
    }
}

/// A proxy accepts before the guest does: there, a connection that ends or a Check without answer is "not yet" too.
fn not_yet(error: &AgentError) -> bool {
    error.is_not_ready() || matches!(error.kind(), AgentErrorKind::Disconnected | AgentErrorKind::Timeout)
}
