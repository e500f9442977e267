//! An agent that speaks the Kata agent protocol (ttrpc): our own `vc-agent`, or the kata-agent.
//!
//! One [`KataAgent`] is one connection, and serves any number of calls at once. What it holds to:
//! - A call that is dropped, or takes too long, disturbs no other: a request whose sending has begun is finished in
//!   the background, for ttrpc gives up the whole connection when it is torn.
//! - Replies are hostile: more data than was asked for, or a number that cannot be, is an error, never a panic.
//! - The kata-agent answers a read at the end of an output with an error of any code. What such an error means is
//!   decided by asking whether the process has ended (see [`Agent::read_stdout`]), never by its text.
//! - The kata-agent throws away output that was not read when it is asked to wait for the process: with it, read the
//!   outputs to their end and then wait. The `vc-agent` keeps them.
//! - The kata-agent also reports a process that was killed by signal n as n. Where this connection has sent that very
//!   signal, [`Agent::wait_process`] tells 128+n all the same; where another one has, it cannot know.
//! - An event is told once, so a call of [`Agent::oom_event`] that is dropped leaves its event to the next one.
//!
//! [`Agent::oom_event`]: crate::Agent::oom_event
//! [`Agent::read_stdout`]: crate::Agent::read_stdout
//! [`Agent::wait_process`]: crate::Agent::wait_process

mod calls;
mod exits;
mod lifeline;
mod oom;
mod origin;
mod output;
pub mod reply;
mod request;
mod signals;
mod timeouts;

use std::{future::Future, pin::pin, time::Duration};

use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, GuestServiceClient, HealthClient},
    transport,
};
use virtcontainers_types::{ContainerId, ExecId};

pub use self::timeouts::Timeouts;
use crate::{error::AgentError, task::Tasks};

/// How long a request that nobody waits for any more may take to be sent and answered.
const LINGER: Duration = Duration::from_secs(10);

/// A connection to an agent that speaks the Kata agent protocol.
pub struct KataAgent {
    agent: AgentServiceClient,
    health: HealthClient,
    guest: GuestServiceClient,
    timeouts: Timeouts,
    exits: exits::Exits,
    signals: signals::Signals,
    oom: oom::Pending,
    origin: origin::Origin,
    ended: CancellationToken,
    tasks: Tasks,
}

impl KataAgent {
    /// Speaks to an agent over a stream that leads to it, with the default [`Timeouts`]. Needs a tokio runtime.
    #[must_use]
    pub fn over(stream: impl transport::Stream + 'static) -> Self {
        let (stream, ended) = lifeline::Lifeline::new(stream);
        let client = transport::client(stream);
        Self {
            agent: AgentServiceClient::new(client.clone()),
            health: HealthClient::new(client.clone()),
            guest: GuestServiceClient::new(client),
            timeouts: Timeouts::default(),
            exits: exits::Exits::default(),
            signals: signals::Signals::default(),
            oom: oom::Pending::default(),
            origin: origin::Origin::default(),
            ended,
            tasks: Tasks::new(),
        }
    }

    /// With other time-outs.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Whether the connection stands. Once it has ended every call fails: connect anew.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Waits until the connection has ended.
    pub async fn disconnected(&self) {
        self.ended.cancelled().await;
    }

    fn failure(&self, method: &'static str, error: ttrpc::Error) -> AgentError {
        if matches!(error, ttrpc::Error::Others(_)) && !self.is_connected() {
            return AgentError::Disconnected { method };
        }
        AgentError::of_call(method, error)
    }

    /// Carries out a call in a task of its own, so that the caller may go away at any time.
    async fn call<T: Send + 'static>(
        &self,
        method: &'static str,
        limit: Option<Duration>,
        work: impl Future<Output = ttrpc::Result<T>> + Send + 'static,
    ) -> Result<T, AgentError> {
        let (mut answer, answered) = oneshot::channel();
        self.tasks.spawn(async move {
            let mut work = pin!(work);
            let result = tokio::select! {
                biased;
                result = &mut work => result,
                () = answer.closed() => {
                    timeout(LINGER, work).await.ok(); // nobody wants the answer
                    return;
                }
            };
            answer.send(result).ok(); // nor here
        });
        let answered = async { answered.await.unwrap_or(Err(ttrpc::Error::LocalClosed)) };
        let result = match limit {
            None => answered.await,
            Some(after) => match timeout(after, answered).await {
                Ok(result) => result,
                Err(_elapsed) => return Err(AgentError::Timeout { method, after }),
            },
        };
        result.map_err(|error| self.failure(method, error))
    }

    /// The end of a process; the guest is asked once, whoever waits.
    async fn exit(&self, container: &ContainerId, exec: &ExecId) -> Result<i32, AgentError> {
        const METHOD: &str = "WaitProcess";
        let (mut exit, to_ask) = self.exits.of(container, exec);
        if let Some(answer) = to_ask {
            let (agent, request) = (self.agent.clone(), request::wait(container, exec));
            self.tasks.spawn(async move {
                let reply = agent.wait_process(ttrpc::context::Context::default(), &request).await;
                answer.send_replace(Some(reply.map(|reply| reply.status)));
            });
        }
        let result = match exit.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_closed) => None,
        };
        match result {
            Some(Ok(status)) => reply::exit_status(status),
            Some(Err(error)) => Err(self.failure(METHOD, error)),
            None => Err(AgentError::Disconnected { method: METHOD }),
        }
    }
}

impl std::fmt::Debug for KataAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KataAgent").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}
