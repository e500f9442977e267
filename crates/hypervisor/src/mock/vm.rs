//! A machine of the mock.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use virtcontainers_sys::task::{self, Task};

use super::{
    Mock, Step,
    state::{Life, StateFile},
};
use crate::{
    console::ConsoleTail,
    error::VmError,
    hotplug::Hotplug,
    spec::AgentChannel,
    vm::{Shutdown, Vm, VmExit, VmRecord, VmState},
};

/// What the handles of one machine share within a process.
#[derive(Debug)]
pub(super) struct Shared {
    exit: watch::Sender<Option<VmExit>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { exit: watch::Sender::new(None) }
    }
}

impl Shared {
    /// Tells of the machine's end; the first telling counts.
    pub(super) fn end(&self, exit: VmExit) {
        self.exit.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(exit);
            first
        });
    }
}

#[derive(Debug)]
pub(super) struct MockVm {
    mock: Arc<Mock>,
    pub(super) record: VmRecord,
    shared: Arc<Shared>,
    port: watch::Sender<bool>,
    console: ConsoleTail,
    /// Held for as long as the handle that launched the machine.
    ending: Option<Task<()>>,
}

impl MockVm {
    pub(super) fn launched(mock: Arc<Mock>, record: VmRecord) -> Self {
        let mut vm = Self::reattached(mock, record);
        vm.ending = vm.mock.script.exit_after.map(|time| {
            let (shared, file) = (Arc::clone(&vm.shared), StateFile::in_dir(&vm.record.dir));
            task::spawn("mock-life", async move {
                tokio::time::sleep(time).await;
                if let Err(error) = file.remove() {
                    tracing::error!(%error, "a mock machine is left behind");
                }
                shared.end(VmExit { code: Some(0), signal: None });
            })
        });
        vm
    }

    pub(super) async fn perform_with(&self, step: Step, nic: &str) -> Result<(), VmError> {
        self.mock.perform_with(step, &self.record.dir, Some(nic)).await?;
        self.life().map(drop)
    }

    pub(super) fn reattached(mock: Arc<Mock>, record: VmRecord) -> Self {
        let opens = matches!(record.channel, AgentChannel::VirtioSerial { .. }) && mock.script.agent_port;
        let console = ConsoleTail::new();
        console.push(mock.script.console.as_bytes());
        let shared = mock.machine(&record.dir);
        Self { mock, record, shared, port: watch::Sender::new(opens), console, ending: None }
    }

    fn file(&self) -> StateFile {
        StateFile::in_dir(&self.record.dir)
    }

    /// The machine's life, unless it has ended, here or in another process.
    fn life(&self) -> Result<Life, VmError> {
        match self.file().read()? {
            Some(life) => Ok(life),
            None => {
                self.shared.end(VmExit { code: None, signal: None });
                Err(VmError::Gone { process: None })
            }
        }
    }

    async fn change(&self, step: Step, to: Life) -> Result<(), VmError> {
        self.mock.perform(step, &self.record.dir).await?;
        if self.life()? != to {
            self.file().change(to)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Vm for MockVm {
    fn record(&self) -> VmRecord {
        self.record.clone()
    }

    fn exited(&self) -> watch::Receiver<Option<VmExit>> {
        self.shared.exit.subscribe()
    }

    fn agent_port_open(&self) -> watch::Receiver<bool> {
        self.port.subscribe()
    }

    fn console(&self) -> ConsoleTail {
        self.console.clone()
    }

    async fn state(&self) -> Result<VmState, VmError> {
        Ok(match self.life()? {
            Life::Running => VmState::Running,
            Life::Paused => VmState::Paused,
        })
    }

    async fn pause(&self) -> Result<(), VmError> {
        self.change(Step::Pause, Life::Paused).await
    }

    async fn resume(&self) -> Result<(), VmError> {
        self.change(Step::Resume, Life::Running).await
    }

    async fn shutdown(&self, _how: Shutdown) -> Result<VmExit, VmError> {
        self.mock.perform(Step::Shutdown, &self.record.dir).await?;
        self.file().remove()?;
        self.shared.end(VmExit { code: Some(0), signal: None });
        Ok(self.shared.exit.borrow().clone().unwrap_or(VmExit { code: None, signal: None }))
    }
    fn hotplug(&self) -> Option<&dyn Hotplug> {
        self.record.plug_slots.is_some().then_some(self)
    }
}
