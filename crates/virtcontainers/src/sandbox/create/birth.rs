//! The record of a sandbox that comes to be: nothing happens that it does not say first.

use std::{fs, io};

use virtcontainers_store::{Lease, Ledger, StoreError, StoreExt as _};

use super::super::{Ending, Resource, SandboxPhase, SandboxRecord};
use crate::{
    error::{Cause, Error},
    runtime::{AtWork, Runtime},
};

/// A claimed id and its record. When all is undone, the id is free again.
pub(super) struct Birth {
    runtime: Runtime,
    /// Gone when the sandbox is forgotten.
    lease: Option<Lease>,
    pub(super) record: SandboxRecord,
    _at_work: AtWork,
}

impl Birth {
    /// Takes the id. One that is taken is left alone.
    pub(super) fn claim(runtime: &Runtime, record: SandboxRecord) -> Result<Self, Error> {
        let at_work = runtime.at_work();
        let lease = runtime.store().claim(&record.id)?;
        // A store that keeps its records elsewhere leaves the directory to us.
        let dir = runtime.sandbox_dir(&record.id);
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Cause::Path { what: "make", path: dir, source }.into()),
        }
        Ok(Self { runtime: runtime.clone(), lease: Some(lease), record, _at_work: at_work })
    }

    pub(super) fn lease(&self) -> Result<&Lease, StoreError> {
        self.lease.as_ref().ok_or_else(|| StoreError::NotFound { id: self.record.id.clone() })
    }

    /// Enters what the sandbox has become.
    pub(super) fn enter(&mut self, phase: SandboxPhase) -> Result<(), StoreError> {
        self.record.phase = phase;
        self.runtime.store().save_as(self.lease()?, &self.record)
    }
}

impl Ledger<Resource> for Birth {
    fn record(&mut self, held: &[Resource]) -> Result<(), StoreError> {
        self.record.resources = held.to_vec();
        // No process and no mount outlives the kernel, so that their intents need not either.
        self.runtime.store().note_as(self.lease()?, &self.record)
    }

    fn unwound(&mut self, remaining: &[Resource]) -> Result<(), StoreError> {
        if remaining.is_empty() {
            return match self.lease.take() {
                Some(lease) => self.runtime.store().forget(lease),
                None => Ok(()),
            };
        }
        self.record.resources = remaining.to_vec();
        self.enter(SandboxPhase::Stopped(Ending::NeverBorn))
    }
}
