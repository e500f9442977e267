//! Containers whose memory ran out. The protocol's GetOOMEvent answers when there is something to tell, and tells it
//! once: so one request is under way whoever waits, and its answer stays for whoever asks next.

use tokio::sync::{Mutex, oneshot};
use ttrpc::context::Context;
use virtcontainers_agent_protocol::api::agent as wire;

use super::KataAgent;
use crate::error::AgentError;

/// The answer to the request under way. Who holds the lock waits for it; others take their turn.
pub(super) type Pending = Mutex<Option<oneshot::Receiver<ttrpc::Result<wire::OOMEvent>>>>;

impl KataAgent {
    /// The next event. Dropped half-way, it leaves the event to the next call.
    pub(super) async fn next_oom(&self) -> Result<wire::OOMEvent, AgentError> {
        let mut pending = self.oom.lock().await;
        let answer = pending.get_or_insert_with(|| self.ask_for_oom());
        let event = answer.await.unwrap_or(Err(ttrpc::Error::LocalClosed));
        *pending = None;
        event.map_err(|error| self.failure("GetOOMEvent", error))
    }

    fn ask_for_oom(&self) -> oneshot::Receiver<ttrpc::Result<wire::OOMEvent>> {
        let (event, answer) = oneshot::channel();
        let agent = self.agent.clone();
        self.tasks.spawn(async move {
            let request = wire::GetOOMEventRequest::new();
            event.send(agent.get_oom_event(Context::default(), &request).await).ok(); // the agent is let go of
        });
        answer
    }
}
