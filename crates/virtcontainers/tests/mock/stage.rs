//! What the tests play on: a root, a mock machine, a mock agent.

use std::{path::PathBuf, sync::Arc, time::Duration};

use virtcontainers::{
    AgentKind, ContainerConfig, ContainerId, Durability, ExecId, HypervisorKind, Runtime, RuntimeBuilder,
    SandboxConfig, SandboxId,
    agent::mock::{MockAgent, MockProcess},
    hypervisor::mock::MockHypervisor,
    store::FaultPlan,
};
use virtcontainers_testkit::TestRoot;

/// Dropped last, the root fails the test that leaves anything behind.
pub(crate) struct Stage {
    pub(crate) vmm: MockHypervisor,
    pub(crate) agent: MockAgent,
    pub(crate) rootfs: tempfile::TempDir,
    pub(crate) root: TestRoot,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(MockHypervisor::default())
    }

    pub(crate) fn with(vmm: MockHypervisor) -> Self {
        let rootfs = tempfile::tempdir().unwrap();
        std::fs::create_dir(rootfs.path().join("etc")).unwrap();
        std::fs::write(
            rootfs.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nbob:x:7:8::/home/bob:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(rootfs.path().join("etc/group"), "root:x:0:\nstaff:x:50:bob\n").unwrap();
        let mut stage = Self { vmm, agent: MockAgent::new(), rootfs, root: TestRoot::new() };
        stage.new_guest();
        stage
    }

    /// Another guest for the next sandbox: a mock agent is the agent of one.
    pub(crate) fn new_guest(&mut self) {
        self.agent = MockAgent::new();
        self.agent.script_all(MockProcess::endless());
    }

    /// A runtime as a process of its own would have it.
    pub(crate) fn runtime(&self) -> Runtime {
        self.runtime_with(FaultPlan::none())
    }

    /// A runtime with a program for its proxies.
    pub(crate) fn runtime_with_helper(&self, program: &str) -> Runtime {
        self.builder().helper_program(program).build().unwrap()
    }

    pub(crate) fn runtime_with(&self, faults: FaultPlan) -> Runtime {
        self.builder().faults(faults).build().unwrap()
    }

    /// A runtime that soon lets go of a verb that nobody waits for.
    pub(crate) fn impatient_runtime(&self, faults: FaultPlan) -> Runtime {
        self.builder().faults(faults).patience(Duration::from_millis(20)).build().unwrap()
    }

    fn builder(&self) -> RuntimeBuilder {
        Runtime::builder()
            .root(self.root.path())
            .durability(Durability::NoSync)
            .hypervisor(Arc::new(self.vmm.clone()))
            .connector(Arc::new(self.agent.clone()))
    }

    /// Changes what is on record, as if another process had written it.
    pub(crate) fn edit_record(&self, id: &str, edit: impl FnOnce(&mut serde_json::Value)) {
        let mut record = self.record(id);
        edit(&mut record["body"]);
        record.as_object_mut().unwrap().remove("sum");
        std::fs::write(self.dir(id).join("record.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    }

    /// What is on record: the last line of its log.
    pub(crate) fn record(&self, id: &str) -> serde_json::Value {
        let text = std::fs::read_to_string(self.dir(id).join("record.json")).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    pub(crate) fn container(&self, id: &str) -> ContainerConfig {
        ContainerConfig::new(id, self.rootfs.path(), ["/bin/sh", "-c", "exit 3"])
    }

    pub(crate) fn config(&self, id: &str, containers: &[&str]) -> SandboxConfig {
        SandboxConfig {
            id: id.to_owned(),
            hypervisor_type: HypervisorKind::Mock,
            agent_type: AgentKind::Kata,
            containers: containers.iter().map(|id| self.container(id)).collect(),
            ..SandboxConfig::default()
        }
    }

    pub(crate) fn dir(&self, id: &str) -> PathBuf {
        self.root.path().join("sandboxes").join(id)
    }
}

pub(crate) fn sid(id: &str) -> SandboxId {
    SandboxId::new(id).unwrap()
}

pub(crate) fn cid(id: &str) -> ContainerId {
    ContainerId::new(id).unwrap()
}

pub(crate) fn eid(id: &str) -> ExecId {
    ExecId::new(id).unwrap()
}
