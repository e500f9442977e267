//! The QEMU driver with the project's guest image: `make guest` makes it.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::time::{Duration, Instant};

use virtcontainers_hypervisor::{
    AgentChannel, Hypervisor as _, LaunchCx, RootImage, Shutdown, Vm, VmState, qemu::Qemu,
};
use virtcontainers_sys::process::Mark;
use virtcontainers_types::{KernelParam, MachineType, MiB};

#[path = "support/mod.rs"]
mod support;

const BOUND: Duration = Duration::from_secs(60);

/// Waits for the agent to open its port; shows the guest's console when it does not.
async fn agent_opens_its_port(vm: &dyn Vm) {
    let mut port = vm.agent_port_open();
    let opened = tokio::time::timeout(BOUND, port.wait_for(|open| *open)).await;
    assert!(opened.is_ok(), "no agent within {BOUND:?}; its console:\n{}", vm.console().lines(40).join("\n"));
}

#[tokio::test]
async fn vm_agent_port_opens_on_every_x86_machine() {
    let guest = support::guest_dir();
    for machine in [MachineType::Q35, MachineType::Pc, MachineType::Microvm] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut spec = support::spec(machine);
        spec.dir = dir.path().to_owned();
        spec.memory.size = MiB(512);
        spec.boot.kernel = guest.join("vmlinux");
        spec.boot.root = RootImage::Initrd(guest.join("initrd.img"));
        spec.boot.params = vec![KernelParam::new("vc.transport", "serial")];
        spec.channel = AgentChannel::VirtioSerial { socket: "serial.sock".into() };
        let plan = Qemu::new().plan(&spec).expect("it can be built");
        let mark = Mark::new(dir.path(), &spec.id, "vmm");
        let began = Instant::now();
        let vm = Qemu::new().launch(plan, LaunchCx::new(mark.clone(), &mut |_| Ok(()))).await;
        let vm = vm.unwrap_or_else(|error| panic!("{machine}: {error}"));
        agent_opens_its_port(&*vm).await;
        println!("{machine}: the agent's port is open after {:?}", began.elapsed());
        let record = vm.record();
        drop(vm);
        let vm = Qemu::new().reattach(&record).await.expect("it is alive");
        assert!(*vm.agent_port_open().borrow(), "a later process is told, too");
        assert_eq!(vm.state().await.expect("it answers"), VmState::Running);
        vm.shutdown(Shutdown::Quit).await.expect("it quits");
        assert_eq!(mark.find().expect("/proc can be read"), []);
    }
}
