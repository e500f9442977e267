//! Where an output ends. The kata-agent tells by an error, whose code and text differ with its version.

use virtcontainers_agent_protocol::api::agent as wire;
use virtcontainers_types::{ContainerId, ExecId};

use super::{KataAgent, reply};
use crate::error::{AgentError, RpcCode};

impl KataAgent {
    /// What a read has brought. An error of the agent's is the end of the stream if the process has ended: then
    /// there is nothing more to come. A process that closed its output and goes on is waited for.
    pub(super) async fn output(
        &self,
        method: &'static str,
        container: &ContainerId,
        exec: &ExecId,
        asked: u32,
        reply: Result<wire::ReadStreamResponse, AgentError>,
    ) -> Result<Vec<u8>, AgentError> {
        match reply {
            Ok(reply) => reply::data(method, reply, asked),
            Err(error) if may_mean_end(&error) => match self.exit(container, exec).await {
                Ok(_status) => Ok(Vec::new()),
                Err(gone @ AgentError::Disconnected { .. }) => Err(gone),
                Err(_no_such_process) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

/// Whether a failed read can be the way in which an agent says that there is nothing more to read.
fn may_mean_end(error: &AgentError) -> bool {
    use RpcCode::{FailedPrecondition, Internal, InvalidArgument, NotFound, OutOfRange, Unknown};
    matches!(
        error,
        AgentError::Rpc {
            code: InvalidArgument | NotFound | Internal | Unknown | OutOfRange | FailedPrecondition,
            ..
        }
    )
}
