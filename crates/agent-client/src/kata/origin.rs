//! Which agent is on the other side, where that makes a difference: the `vc-agent`, known by its own service, or
//! another one.

use std::sync::OnceLock;

use virtcontainers_types::{ContainerId, ExecId};

use super::KataAgent;
use crate::{
    agent::Agent,
    error::{AgentError, AgentErrorKind},
};

/// Whether the agent is the `vc-agent`; asked once, when it first matters.
pub(super) type Origin = OnceLock<bool>;

impl KataAgent {
    /// The exit code of a process whose end the agent has reported as `status`. Agents other than the `vc-agent` report
    /// the number of the signal that killed it.
    pub(super) async fn exit_code(&self, container: &ContainerId, exec: &ExecId, status: i32) -> i32 {
        let signal = u32::try_from(status).unwrap_or_default();
        if self.signals.have(container, exec, signal) && self.is_foreign(container).await {
            return 128 + status;
        }
        status
    }

    async fn is_foreign(&self, container: &ContainerId) -> bool {
        if let Some(own) = self.origin.get() {
            return !own;
        }
        let own = match self.list_processes(container).await {
            Ok(_processes) => true,
            Err(error) if error.kind() == AgentErrorKind::Unimplemented => false,
            Err(_nothing_is_known) => return false,
        };
        !*self.origin.get_or_init(|| own)
    }

    /// What a failed call to the `vc-agent`'s own service means. Agents without it say so in different ways: only the
    /// container's absence needs telling apart.
    pub(super) async fn without_service(&self, container: &ContainerId, error: AgentError) -> AgentError {
        let unimplemented = AgentError::Unimplemented { method: "ListProcesses" };
        match error.kind() {
            // The id is one by its type: what is wrong is the service.
            AgentErrorKind::InvalidArgument => unimplemented,
            AgentErrorKind::NotFound => match self.stats_container(container).await {
                Ok(_stats) => unimplemented,
                Err(_) => error,
            },
            AgentErrorKind::NotReady
            | AgentErrorKind::Transport
            | AgentErrorKind::Timeout
            | AgentErrorKind::Disconnected
            | AgentErrorKind::Unimplemented
            | AgentErrorKind::AlreadyExists
            | AgentErrorKind::PermissionDenied
            | AgentErrorKind::FailedPrecondition
            | AgentErrorKind::Protocol
            | AgentErrorKind::Failed => error,
        }
    }
}
