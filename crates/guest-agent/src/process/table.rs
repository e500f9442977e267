//! The processes that were executed in a container, by exec id.

use std::{collections::HashMap, sync::Arc};

use super::Process;
use crate::error::CallError;

/// Processes of one container, whether they run or not, whose code or output may still be asked for.
const MAX_PROCESSES: usize = 1024;

/// Ended processes whose code is known to somebody, kept for those who ask again.
const MAX_SETTLED: usize = 64;

/// The table. An id is taken from its reservation to its process's end.
#[derive(Debug, Default)]
pub struct Table {
    processes: HashMap<String, Option<Arc<Process>>>,
    order: Vec<String>,
}

impl Table {
    /// The process with that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Process>> {
        self.processes.get(id).cloned().flatten()
    }

    /// Every process.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.processes.values().flatten()
    }

    /// Reserves `id` for a process about to be launched. The id of an ended process is free again.
    ///
    /// # Errors
    /// [`CallError::Exists`] and [`CallError::TooMany`].
    pub fn reserve(&mut self, id: &str) -> Result<(), CallError> {
        match self.processes.get(id) {
            None => {}
            Some(Some(process)) if process.exit().code().is_some() => self.forget(id),
            Some(_) => return Err(CallError::Exists { what: "process", id: id.to_owned() }),
        }
        self.forget_settled();
        if self.processes.len() >= MAX_PROCESSES {
            let what = "processes of one container whose exit nobody waited for: wait for some of them";
            return Err(CallError::TooMany { what, limit: MAX_PROCESSES });
        }
        self.processes.insert(id.to_owned(), None);
        self.order.push(id.to_owned());
        Ok(())
    }

    /// Puts the launched process in its reserved place.
    pub fn fill(&mut self, process: Arc<Process>) {
        self.processes.insert(process.id().to_owned(), Some(process));
    }

    /// Gives up a reservation, or the memory of a process.
    pub fn forget(&mut self, id: &str) {
        self.processes.remove(id);
        self.order.retain(|other| other != id);
    }

    /// Forgets the oldest settled processes above [`MAX_SETTLED`].
    fn forget_settled(&mut self) {
        let settled: Vec<String> = self
            .order
            .iter()
            .filter(|id| self.get(id).is_some_and(|process| process.is_settled()))
            .cloned()
            .collect();
        for id in settled.iter().take(settled.len().saturating_sub(MAX_SETTLED)) {
            self.forget(id);
        }
    }
}
