//! The QEMU driver with QEMU processes for real, and a guest of two hundred bytes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use virtcontainers_hypervisor::{
    Hypervisor as _, LaunchCx, Shutdown, Vm, VmError, VmExit, VmRecord, VmSpec, VmState, qemu::Qemu,
};
use virtcontainers_sys::process::{Mark, ProcessRef};
use virtcontainers_types::{MachineType, MiB};

#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny_kernel.rs"]
mod tiny_kernel;
use tiny_kernel::{GREETING, Then};

const X86: [MachineType; 3] = [MachineType::Q35, MachineType::Pc, MachineType::Microvm];
const BOUND: Duration = Duration::from_secs(30);

/// A sandbox's directory with a kernel in it. What the tests start in it is gone when they end, or they fail.
struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("initrd"), b"not read by anyone").expect("the directory is writable");
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn mark(&self) -> Mark {
        Mark::new(self.path(), &support::spec(MachineType::Q35).id, "vmm")
    }

    fn spec(&self, machine: MachineType, then: Then) -> VmSpec {
        let mut spec = support::spec(machine);
        spec.dir = self.path().to_owned();
        spec.memory.size = MiB(64);
        spec.boot.kernel = self.path().join("kernel");
        spec.boot.root = virtcontainers_hypervisor::RootImage::Initrd(self.path().join("initrd"));
        fs::write(&spec.boot.kernel, tiny_kernel::image(then)).expect("the directory is writable");
        spec
    }

    async fn launch(&self, spec: &VmSpec) -> Result<Box<dyn Vm>, VmError> {
        let plan = Qemu::new().plan(spec)?;
        Qemu::new().launch(plan, LaunchCx::new(self.mark(), &mut |_| Ok(()))).await
    }

    async fn halted(&self, machine: MachineType) -> Box<dyn Vm> {
        let launched = self.launch(&self.spec(machine, Then::Halt)).await;
        launched.unwrap_or_else(|error| panic!("{machine}: {error}"))
    }

    /// No process with this room's mark is alive.
    fn assert_no_process(&self) {
        assert_eq!(self.mark().find().expect("/proc can be read"), []);
    }
}

fn process(vm: &dyn Vm) -> ProcessRef {
    vm.record().process.expect("QEMU is a process")
}

/// Waits, within the bound, for the end that `exited()` tells of.
async fn exit(vm: &dyn Vm) -> VmExit {
    let mut exited = vm.exited();
    let told = tokio::time::timeout(BOUND, exited.wait_for(Option::is_some)).await.expect("it ends in time");
    told.expect("the machine is watched").clone().expect("waited for")
}

#[tokio::test]
async fn vm_pauses_resumes_and_ends_on_every_x86_machine() {
    for machine in X86 {
        let room = Room::new();
        let began = Instant::now();
        let vm = room.halted(machine).await;
        let launched = began.elapsed();
        let resident = process(&*vm).resident_bytes().expect("it is alive") >> 20;
        println!("{machine}: launch {launched:?}, {resident} MiB resident");
        assert_eq!(vm.state().await.expect("it answers"), VmState::Running);
        vm.resume().await.expect("resuming what runs is no error");
        vm.pause().await.expect("it pauses");
        vm.pause().await.expect("pausing what stands still is no error");
        assert_eq!(vm.state().await.expect("it answers"), VmState::Paused);
        vm.resume().await.expect("it resumes");
        assert_eq!(vm.state().await.expect("it answers"), VmState::Running);
        let (first, second) =
            tokio::join!(vm.shutdown(Shutdown::Quit), vm.shutdown(Shutdown::Graceful(Duration::ZERO)));
        assert_eq!(first.expect("it quits"), VmExit { code: Some(0), signal: None });
        assert_eq!(second.expect("it quits once"), VmExit { code: Some(0), signal: None });
        room.assert_no_process();
        assert_eq!(
            vm.shutdown(Shutdown::Kill).await.expect("it is gone already"),
            VmExit { code: Some(0), signal: None }
        );
    }
}

#[tokio::test]
async fn vm_shows_its_console_and_ends_by_itself() {
    for machine in X86 {
        let room = Room::new();
        let vm = room.launch(&room.spec(machine, Then::Reset)).await.expect("it launches");
        assert_eq!(exit(&*vm).await, VmExit { code: Some(0), signal: None });
        let console = vm.console().lines(10);
        assert!(console.iter().any(|line| line.contains(GREETING)), "{machine}: {console:?}");
        let error = vm.state().await.expect_err("it is gone");
        assert!(matches!(error, VmError::Gone { process: Some(_) }), "{error:?}");
        room.assert_no_process();
    }
}

#[tokio::test]
async fn vm_that_ends_in_time_is_not_told_to_quit() {
    let room = Room::new();
    let vm = room.launch(&room.spec(MachineType::Microvm, Then::Reset)).await.expect("it launches");
    let exit = vm.shutdown(Shutdown::Graceful(BOUND)).await.expect("it ends by itself");
    assert_eq!(exit, VmExit { code: Some(0), signal: None });
    assert!(!vm.console().lines(1).is_empty(), "the guest had its time to greet");
}

#[tokio::test]
async fn vm_with_a_kernel_that_is_none_says_so_at_once() {
    let room = Room::new();
    let spec = room.spec(MachineType::Q35, Then::Halt);
    fs::write(&spec.boot.kernel, b"garbage").expect("the directory is writable");
    let began = Instant::now();
    match room.launch(&spec).await {
        Err(VmError::ExitedEarly { exit: VmExit { code: Some(1), .. }, stderr, .. }) => {
            assert!(!stderr.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < BOUND / 3, "{:?}", began.elapsed());
    room.assert_no_process();
}

#[tokio::test]
async fn vm_without_its_program_says_what_to_install() {
    let room = Room::new();
    let mut spec = room.spec(MachineType::Q35, Then::Halt);
    spec.program = "qemu-system-none".into();
    let error = room.launch(&spec).await.expect_err("there is no such program");
    assert!(matches!(error, VmError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn vm_that_cannot_be_put_on_record_is_ended() {
    let room = Room::new();
    let plan = Qemu::new().plan(&room.spec(MachineType::Q35, Then::Halt)).expect("it can be built");
    let mut seen: Option<VmRecord> = None;
    let mut refuse = |record: &VmRecord| {
        seen = Some(record.clone());
        Err(std::io::ErrorKind::StorageFull.into())
    };
    let cx = LaunchCx::new(room.mark(), &mut refuse);
    let error = Qemu::new().launch(plan, cx).await.expect_err("the caller refused");
    assert!(matches!(error, VmError::NotRecorded { .. }), "{error:?}");
    assert!(!seen.and_then(|record| record.process).expect("it had started").is_alive());
    room.assert_no_process();
}

#[tokio::test]
async fn vm_whose_launch_is_abandoned_is_ended() {
    let room = Room::new();
    let plan = Qemu::new().plan(&room.spec(MachineType::Q35, Then::Halt)).expect("it can be built");
    let mut started = None;
    let mut spawned = |record: &VmRecord| {
        started = record.process.map(|process| process.open());
        Ok(())
    };
    let cx = LaunchCx::new(room.mark(), &mut spawned);
    let launch = Qemu::new();
    let launch = launch.launch(plan, cx);
    // The first poll starts the process; there is no second one.
    tokio::select! {
        biased;
        launched = launch => panic!("too quick for this test: {launched:?}"),
        () = std::future::ready(()) => {}
    }
    let process = started.flatten_process();
    tokio::time::timeout(BOUND, process.exited()).await.expect("it ends in time").expect("it can be watched");
}

/// What the callback above saw.
trait FlattenProcess {
    fn flatten_process(self) -> virtcontainers_sys::process::PidFd;
}

impl FlattenProcess for Option<std::io::Result<Option<virtcontainers_sys::process::PidFd>>> {
    fn flatten_process(self) -> virtcontainers_sys::process::PidFd {
        self.expect("it has a process").expect("it can be opened").expect("it was alive")
    }
}

#[tokio::test]
async fn vm_serves_a_second_process_while_the_launcher_holds_on() {
    let room = Room::new();
    let launcher = room.halted(MachineType::Q35).await;
    let other = Qemu::new().reattach(&launcher.record()).await.expect("it is alive");
    other.pause().await.expect("the other may pause");
    assert_eq!(launcher.state().await.expect("it answers"), VmState::Paused);
    launcher.resume().await.expect("the launcher may resume");
    assert_eq!(other.state().await.expect("it answers"), VmState::Running);
    other.shutdown(Shutdown::Quit).await.expect("the other may end it");
    assert_eq!(exit(&*launcher).await, VmExit { code: Some(0), signal: None });
    room.assert_no_process();
}

#[tokio::test]
async fn vm_outlives_its_launcher_and_is_taken_over() {
    let room = Room::new();
    let launcher = room.halted(MachineType::Microvm).await;
    let record = launcher.record();
    let kept = serde_json::to_string(&record).expect("a record is JSON");
    drop(launcher);
    let record: VmRecord = serde_json::from_str(&kept).expect("a record comes back");
    for _ in 0..2 {
        let vm = Qemu::new().reattach(&record).await.expect("it is alive");
        assert_eq!(vm.state().await.expect("it answers"), VmState::Running);
    }
    let vm = Qemu::new().reattach(&record).await.expect("it is alive");
    vm.shutdown(Shutdown::Kill).await.expect("it can be killed");
    room.assert_no_process();
    let error = Qemu::new().reattach(&record).await.expect_err("it is gone");
    assert!(matches!(error, VmError::Gone { .. }), "{error:?}");
    let error = vm.pause().await.expect_err("it is gone");
    assert!(matches!(error, VmError::Gone { .. }), "{error:?}");
}

#[tokio::test]
async fn vm_that_is_killed_is_noticed() {
    let room = Room::new();
    let vm = room.halted(MachineType::Q35).await;
    let other = Qemu::new().reattach(&vm.record()).await.expect("it is alive");
    assert!(process(&*vm).kill(Signal::KILL).expect("it may be killed"));
    assert_eq!(exit(&*vm).await, VmExit { code: None, signal: Some(9) });
    assert_eq!(exit(&*other).await, VmExit { code: None, signal: None });
    let error = vm.resume().await.expect_err("it is gone");
    assert!(matches!(error, VmError::Gone { .. }), "{error:?}");
}

#[tokio::test]
async fn vm_that_does_not_answer_is_killed() {
    let room = Room::new();
    let vm = room.halted(MachineType::Q35).await;
    assert!(process(&*vm).kill(Signal::STOP).expect("it may be stopped"));
    let exit = vm.shutdown(Shutdown::Quit).await.expect("SIGKILL ends what is stopped");
    assert_eq!(exit, VmExit { code: None, signal: Some(9) });
    room.assert_no_process();
}
