//! A verb that changes no record: it looks at the record, asks the agent, and takes no lease. So to watch a sandbox, to
//! signal in it or to run a further process never waits for a slow verb, nor for one another.
//!
//! Where the record does not admit what is asked, a verb may be at work that is about to change that: then, and only
//! then, its end is waited for.

use std::sync::Arc;

use virtcontainers_agent_client::{Agent, AgentError, AgentErrorKind};
use virtcontainers_store::StoreExt as _;
use virtcontainers_types::{ContainerId, Transport};

use super::{SandboxRecord, Session, Shared, connect, session::is_spoiled};
use crate::{
    container::{ContainerRecord, shim},
    error::{Cause, Error},
    state::{ContainerOperation, SandboxOperation},
};

/// A sandbox as its record shows it at one moment.
pub(crate) struct Visit {
    shared: Arc<Shared>,
    /// The record; the phase is what the host shows.
    pub(crate) record: SandboxRecord,
}

impl Visit {
    /// A sandbox whose guest can be asked.
    pub(crate) async fn guest(shared: &Arc<Shared>, verb: &'static str) -> Result<Self, Error> {
        let look = || {
            let visit = Self::look(shared)?;
            visit.record.admit(SandboxOperation::UseContainer, verb)?;
            Ok(visit)
        };
        match look() {
            Err(error) if is_refusal(&error) => {
                drop(Session::open(shared).await?);
                look()
            }
            looked => looked,
        }
    }

    /// A container that admits an operation.
    pub(crate) async fn container(
        shared: &Arc<Shared>,
        id: &ContainerId,
        operation: ContainerOperation,
        verb: &'static str,
    ) -> Result<(Self, ContainerRecord), Error> {
        match Self::look_at(shared, id, operation, verb) {
            Err(error) if is_refusal(&error) => {
                drop(Session::open(shared).await?);
                Self::look_at(shared, id, operation, verb)
            }
            looked => looked,
        }
    }

    pub(super) fn look(shared: &Arc<Shared>) -> Result<Self, Error> {
        let mut record: SandboxRecord = shared.runtime().store().load_as(shared.id())?;
        record.phase = record.observed();
        Ok(Self { shared: Arc::clone(shared), record })
    }

    fn look_at(
        shared: &Arc<Shared>,
        id: &ContainerId,
        operation: ContainerOperation,
        verb: &'static str,
    ) -> Result<(Self, ContainerRecord), Error> {
        let visit = Self::look(shared)?;
        let mut container: ContainerRecord = shared.runtime().store().load_container_as(shared.id(), id)?;
        container.observe(&shim::dir(shared.runtime(), shared.id(), id), &visit.record.phase);
        visit.record.admit(SandboxOperation::UseContainer, verb)?;
        visit.record.admit_container(&container, operation, verb)?;
        Ok((visit, container))
    }

    /// The agent, dialled if need be.
    pub(crate) async fn agent(&self) -> Result<Arc<dyn Agent>, Error> {
        if let Some(agent) = self.shared.kept_agent(&self.record) {
            return Ok(agent);
        }
        match connect::dial(&self.shared, &self.record).await {
            // The proxy may have to be put back, and that is for whoever has the lease.
            Err(_unreachable) if self.record.transport == Some(Transport::VirtioSerial) => {
                Session::open(&self.shared).await?.agent().await
            }
            Err(error) => Err(connect::explain(&self.shared, &self.record, error)),
            Ok(agent) => {
                self.shared.keep_agent(&self.record, &agent);
                Ok(agent)
            }
        }
    }

    /// Turns an agent's answer into the library's.
    pub(crate) fn told<T>(&self, answer: Result<T, AgentError>) -> Result<T, Error> {
        answer.map_err(|error| {
            if is_spoiled(&error) {
                self.shared.drop_agent();
            }
            connect::explain(&self.shared, &self.record, error)
        })
    }

    /// Turns an agent's answer about a container into the library's. What is no longer as it was looked at is what the
    /// error speaks of.
    pub(crate) fn told_of<T>(
        &self,
        id: &ContainerId,
        operation: ContainerOperation,
        verb: &'static str,
        answer: Result<T, AgentError>,
    ) -> Result<T, Error> {
        if let Err(error) = &answer
            && matches!(error.kind(), AgentErrorKind::NotFound | AgentErrorKind::FailedPrecondition)
        {
            Self::look_at(&self.shared, id, operation, verb)?;
        }
        self.told(answer)
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.cause(), Cause::SandboxState { .. } | Cause::ContainerState { .. })
}
