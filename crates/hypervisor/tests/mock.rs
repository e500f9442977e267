//! The mock, as a user's test would use it.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use virtcontainers_hypervisor::{
    AgentChannel, Hypervisor as _, LaunchCx, NicFds, Shutdown, Vm, VmError, VmExit, VmState,
    mock::{Call, MockHypervisor, Step},
};
use virtcontainers_sys::process::Mark;
use virtcontainers_types::MachineType;

mod support;

async fn launch(mock: &MockHypervisor, dir: &Path) -> Result<Box<dyn Vm>, VmError> {
    let mut spec = support::spec(MachineType::Q35);
    spec.dir = dir.to_owned();
    spec.channel = AgentChannel::VirtioSerial { socket: "serial.sock".into() };
    let mark = Mark::new(dir, &spec.id, "vmm");
    mock.launch(mock.plan(&spec)?, LaunchCx::new(mark, &mut |_| Ok(()))).await
}

fn room() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn assert_empty(dir: &Path) {
    assert_eq!(
        std::fs::read_dir(dir).expect("it is there").count(),
        0,
        "something is left in {}",
        dir.display()
    );
}

#[tokio::test]
async fn a_machine_lives_and_ends_and_leaves_nothing() {
    let (mock, room) = (MockHypervisor::builder().console("Linux\nready").build(), room());
    let vm = launch(&mock, room.path()).await.expect("it launches");
    assert_eq!(vm.state().await.expect("it lives"), VmState::Running);
    vm.pause().await.expect("it pauses");
    assert_eq!(vm.state().await.expect("it lives"), VmState::Paused);
    vm.resume().await.expect("it resumes");
    assert!(*vm.agent_port_open().borrow());
    assert_eq!(vm.console().lines(1), ["ready"]);
    assert_eq!(*vm.exited().borrow(), None);
    let exit = vm.shutdown(Shutdown::Quit).await.expect("it ends");
    assert_eq!(*vm.exited().borrow(), Some(exit.clone()));
    assert_eq!(vm.shutdown(Shutdown::Kill).await.expect("it has ended"), exit);
    assert!(matches!(vm.pause().await, Err(VmError::Gone { .. })));
    assert_empty(room.path());
    let steps: Vec<_> = mock.calls().into_iter().map(|Call { step, .. }| step).collect();
    use Step::{Boot, Launch, Pause, Plan, Resume, Shutdown as Stop};
    assert_eq!(steps, [Plan, Launch, Boot, Pause, Resume, Stop, Stop, Pause]);
}

#[tokio::test]
async fn another_process_takes_a_machine_over() {
    let room = room();
    let vm = launch(&MockHypervisor::default(), room.path()).await.expect("it launches");
    vm.pause().await.expect("it pauses");
    // A mock that shares nothing with the first one is what another process has.
    let other = MockHypervisor::default();
    let taken = other.reattach(&vm.record()).await.expect("it is there");
    assert_eq!(taken.state().await.expect("it lives"), VmState::Paused);
    taken.shutdown(Shutdown::Quit).await.expect("it ends");
    assert!(matches!(vm.state().await, Err(VmError::Gone { .. })));
    assert!(vm.exited().borrow().is_some());
    assert!(matches!(other.reattach(&vm.record()).await, Err(VmError::Gone { .. })));
}

#[tokio::test]
async fn a_step_fails_as_told_and_as_often() {
    for step in [Step::Plan, Step::Launch, Step::Boot] {
        let (mock, room) = (MockHypervisor::builder().fail_times(step, 2, "no").build(), room());
        for _ in 0..2 {
            match launch(&mock, room.path()).await {
                Err(VmError::Injected { step: failed, message }) => {
                    assert_eq!((failed, message.as_str()), (step.as_str(), "no"));
                }
                other => panic!("{other:?}"),
            }
            assert_empty(room.path());
        }
        launch(&mock, room.path()).await.expect("the third time it works");
    }
    let (mock, room) = (MockHypervisor::builder().fail(Step::Pause, "never").build(), room());
    let vm = launch(&mock, room.path()).await.expect("it launches");
    for _ in 0..3 {
        assert!(matches!(vm.pause().await, Err(VmError::Injected { .. })));
    }
    assert_eq!(vm.state().await.expect("it lives"), VmState::Running);
    assert_eq!(mock.count(Step::Pause), 3);
}

#[tokio::test]
async fn a_launch_that_is_refused_or_abandoned_leaves_nothing() {
    let room = room();
    let mut spec = support::spec(MachineType::Q35);
    spec.dir = room.path().to_owned();
    let mark = || Mark::new(room.path(), &spec.id, "vmm");
    let mock = MockHypervisor::default();
    let refuse = &mut |_: &_| Err(std::io::ErrorKind::StorageFull.into());
    let cx = LaunchCx::new(mark(), refuse);
    let launched = mock.launch(mock.plan(&spec).expect("it plans"), cx).await;
    assert!(matches!(launched, Err(VmError::NotRecorded { .. })));
    assert_empty(room.path());
    let slow = MockHypervisor::builder().delay(Step::Boot, Duration::from_secs(3600)).build();
    let accept = &mut |_: &_| Ok(());
    let cx = LaunchCx::new(mark(), accept);
    let launching = slow.launch(slow.plan(&spec).expect("it plans"), cx);
    assert!(tokio::time::timeout(Duration::from_millis(20), launching).await.is_err());
    assert_empty(room.path());
}

#[tokio::test]
async fn a_machine_ends_by_itself_or_crashes() {
    let (mock, first) = (MockHypervisor::builder().exit_after(Duration::from_millis(5)).build(), room());
    let vm = launch(&mock, first.path()).await.expect("it launches");
    let mut exited = vm.exited();
    let exit = exited.wait_for(Option::is_some).await.expect("it is watched").clone();
    assert_eq!(exit, Some(VmExit { code: Some(0), signal: None }));
    assert_empty(first.path());

    let (mock, second) = (MockHypervisor::default(), room());
    let vm = launch(&mock, second.path()).await.expect("it launches");
    let crash = VmExit { code: None, signal: Some(11) };
    mock.crash(second.path(), crash.clone()).expect("it lives");
    assert_eq!(*vm.exited().borrow(), Some(crash.clone()));
    assert_eq!(vm.shutdown(Shutdown::Quit).await.expect("it has ended"), crash);
    assert!(matches!(mock.crash(second.path(), crash), Err(VmError::Gone { .. })));
}

#[tokio::test]
async fn a_delay_is_kept_and_no_other_time_is_taken() {
    let room = room();
    let delay = Duration::from_millis(30);
    let mock = MockHypervisor::builder().delay(Step::Pause, delay).build();
    let vm = launch(&mock, room.path()).await.expect("it launches");
    let began = Instant::now();
    vm.pause().await.expect("it pauses");
    assert!(began.elapsed() >= delay);
    vm.shutdown(Shutdown::Quit).await.expect("it ends");
    let began = Instant::now();
    let rounds = 200;
    for _ in 0..rounds {
        let vm = launch(&mock, room.path()).await.expect("it launches");
        vm.shutdown(Shutdown::Quit).await.expect("it ends");
    }
    println!("launch and shutdown: {:?} each", began.elapsed() / rounds);
    assert!(began.elapsed() / rounds < Duration::from_millis(10));
}

#[tokio::test]
async fn interfaces_come_and_go_in_any_process() {
    let room = room();
    let mock = MockHypervisor::builder().fail_times(Step::RemoveNic, 1, "not yet").build();
    let mut spec = support::spec(MachineType::Q35);
    spec.dir = room.path().to_owned();
    (spec.nics, spec.hotplug_slots) = (vec![support::nic("cold")], 1);
    let mark = || Mark::new(room.path(), &spec.id, "vmm");
    let plan = mock.plan(&spec).expect("it plans");
    let accept = &mut |_: &_| Ok(());
    let refused = mock.launch(plan.clone(), LaunchCx::new(mark(), accept)).await;
    assert!(matches!(refused, Err(VmError::NicFds { .. })), "{refused:?}");
    assert_empty(room.path());
    let fds = |id: &str| NicFds { id: id.into(), taps: vec![tap()], vhost: Vec::new() };
    let cx = LaunchCx { nic_fds: vec![fds("cold")], ..LaunchCx::new(mark(), accept) };
    let vm = mock.launch(plan, cx).await.expect("it launches");

    let elsewhere = MockHypervisor::default();
    let other = elsewhere.reattach(&vm.record()).await.expect("it is there");
    let slots = other.hotplug().expect("it has slots");
    let path = slots.add_nic(&support::nic("hot"), fds("hot")).await.expect("a slot is free");
    assert_eq!(path.expect("on PCI").to_string(), "09/00");
    let error = slots.add_nic(&support::nic("hot"), fds("hot")).await.expect_err("it is there");
    assert!(matches!(error, VmError::DuplicateNic { .. }), "{error:?}");
    let error = slots.add_nic(&support::nic("more"), fds("more")).await.expect_err("none is free");
    assert!(matches!(error, VmError::NoFreeSlot { slots: 2, .. }), "{error:?}");

    let slots = vm.hotplug().expect("it has slots");
    let error = slots.remove_nic("cold").await.expect_err("as told");
    assert!(matches!(error, VmError::Injected { step: "remove-nic", .. }), "{error:?}");
    slots.remove_nic("cold").await.expect("the second time it works");
    slots.remove_nic("cold").await.expect("what is gone is no error");
    let there: Vec<_> = slots.nics().await.expect("it answers").into_iter().map(|nic| nic.id).collect();
    assert_eq!(there, ["hot"]);
    let removed = mock.calls().into_iter().filter(|call| call.step == Step::RemoveNic);
    assert!(removed.map(|call| call.nic).eq(vec![Some("cold".to_owned()); 3]));
    vm.shutdown(Shutdown::Quit).await.expect("it quits");
    assert_empty(room.path());
}

/// A descriptor: the mock only counts them.
fn tap() -> std::os::fd::OwnedFd {
    std::fs::File::open("/dev/null").expect("it is there").into()
}

#[tokio::test]
async fn a_machine_without_slots_says_so() {
    let room = room();
    let vm = launch(&MockHypervisor::default(), room.path()).await.expect("it launches");
    assert!(vm.hotplug().is_none());
    let mut microvm = support::spec(MachineType::Microvm);
    microvm.hotplug_slots = 4;
    assert_eq!(MockHypervisor::default().plan(&microvm).expect("it plans").plug_slots, None);
}
