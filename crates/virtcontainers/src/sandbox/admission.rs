//! What a sandbox's record admits: the tables of [`crate::state`], with the answer as the error that a caller gets.

use super::{Machine, SandboxRecord};
use crate::{
    container::ContainerRecord,
    error::{Cause, Error},
    state::{Admission, ContainerOperation, SandboxOperation, admit_container, admit_sandbox},
};

/// Whether a verb has still to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Todo {
    Act,
    Nothing,
}

impl SandboxRecord {
    /// Asks the table whether the sandbox admits an operation.
    pub(crate) fn admit(&self, operation: SandboxOperation, verb: &'static str) -> Result<Todo, Error> {
        let state = self.phase.state();
        match admit_sandbox(state, operation) {
            Admission::Act => Ok(Todo::Act),
            Admission::Done => Ok(Todo::Nothing),
            Admission::Refuse(remedy) => {
                let why = self.phase.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
                Err(Cause::SandboxState { id: self.id.clone(), state, why, verb, remedy }.into())
            }
        }
    }

    /// Asks the table whether a container admits an operation.
    pub(crate) fn admit_container(
        &self,
        record: &ContainerRecord,
        operation: ContainerOperation,
        verb: &'static str,
    ) -> Result<Todo, Error> {
        let state = record.phase.state();
        match admit_container(state, operation) {
            Admission::Act => Ok(Todo::Act),
            Admission::Done => Ok(Todo::Nothing),
            Admission::Refuse(remedy) => {
                let (sandbox, container) = (self.id.clone(), record.id.clone());
                Err(Cause::ContainerState { sandbox, container, state, verb, remedy }.into())
            }
        }
    }

    /// The machine of a sandbox that has one.
    pub(crate) fn machine(&self) -> Result<&Machine, Error> {
        self.phase.machine().ok_or_else(|| {
            let how =
                self.phase.reason().map_or_else(|| "it was stopped".to_owned(), |reason| reason.to_string());
            Cause::GuestGone { id: self.id.clone(), how, when: "before this call" }.into()
        })
    }
}
