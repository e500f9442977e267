//! What the guest is asked to do to a container, put on record before it is asked.
//!
//! Whoever asks may die before the answer is recorded, and then nobody knows whether the guest has done it. The next one
//! who asks finds the intent, and takes a guest that says "it is not in that state" for one that had obeyed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use virtcontainers_agent_client::{Agent, AgentError, AgentErrorKind};

use super::{ContainerRecord, create::pass};
use crate::{error::Error, sandbox::Session};

/// What was asked for, and not yet recorded to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Intent {
    Start,
    Pause,
    Resume,
}

impl Intent {
    const fn step(self) -> &'static str {
        match self {
            Self::Start => "start container in guest",
            Self::Pause => "pause container in guest",
            Self::Resume => "resume container in guest",
        }
    }
}

/// Has the guest do it. Without an error it is done, and the record, which is yet to be saved, has no intent any more.
pub(super) async fn ask(
    session: &mut Session,
    record: &mut ContainerRecord,
    intent: Intent,
) -> Result<(), Error> {
    let unknown = record.intent.replace(intent).is_some();
    session.note_container(record)?;
    let faults = session.runtime().faults();
    let mut refused = false;
    let asked = pass(&faults, intent.step(), async {
        let agent = session.agent().await?;
        match call(&agent, record, intent).await {
            Err(error) if unknown && error.kind() == AgentErrorKind::FailedPrecondition => Ok(()),
            answer => {
                refused = matches!(answer, Err(AgentError::Rpc { .. }));
                session.told(answer)
            }
        }
    });
    let asked = asked.await;
    match asked {
        Ok(()) => record.intent = None,
        Err(error) => {
            if refused {
                // It is as it was.
                record.intent = None;
                session.note_container(record)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

async fn call(agent: &Arc<dyn Agent>, record: &ContainerRecord, intent: Intent) -> Result<(), AgentError> {
    match intent {
        Intent::Start => agent.start_container(&record.id).await,
        Intent::Pause => agent.pause_container(&record.id).await,
        Intent::Resume => agent.resume_container(&record.id).await,
    }
}
