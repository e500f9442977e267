//! The mock of a virtual machine monitor that holds its taps, as a process does that has inherited them. The plain mock
//! closes them, and a kernel takes its time over the removal of a tap.

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use virtcontainers::{
    HypervisorKind,
    hypervisor::{Hypervisor, LaunchCx, LaunchPlan, Vm, VmError, VmRecord, VmSpec, mock::MockHypervisor},
};

use crate::Failure;

#[derive(Debug, Default)]
pub(crate) struct HoldingVmm {
    mock: MockHypervisor,
    held: Mutex<Vec<OwnedFd>>,
}

impl HoldingVmm {
    /// Lets go of the taps, as a process does that ends; how many there were.
    pub(crate) fn end(&self) -> usize {
        std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner)).len()
    }

    fn hold(&self, cx: &LaunchCx<'_>) -> Result<(), Failure> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for tap in cx.nic_fds.iter().flat_map(|nic| &nic.taps) {
            held.push(tap.try_clone()?);
        }
        Ok(())
    }
}

#[async_trait]
impl Hypervisor for HoldingVmm {
    fn kind(&self) -> HypervisorKind {
        self.mock.kind()
    }

    fn plan(&self, spec: &VmSpec) -> Result<LaunchPlan, VmError> {
        self.mock.plan(spec)
    }

    async fn launch(&self, plan: LaunchPlan, cx: LaunchCx<'_>) -> Result<Box<dyn Vm>, VmError> {
        // One that holds none is found out by `end`.
        self.hold(&cx).ok();
        self.mock.launch(plan, cx).await
    }

    async fn reattach(&self, record: &VmRecord) -> Result<Box<dyn Vm>, VmError> {
        self.mock.reattach(record).await
    }
}
