//! Network interfaces of real machines: at launch, and while the guest runs. Each proof is a ping out of the guest,
//! through a tap in a network namespace that the test makes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says so by failing")]

use std::{
    fs,
    os::fd::OwnedFd,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use virtcontainers_hypervisor::{
    Hotplug, Hypervisor as _, LaunchCx, Nic, NicBackend, NicFds, PluggedNic, RootImage, Shutdown, Vm,
    VmError, VmSpec, cold_nic_path, qemu::Qemu,
};
use virtcontainers_sys::{
    netns,
    process::Mark,
    tap::{self, TapOptions},
};
use virtcontainers_types::{KernelParam, MachineType, MiB, net::PciPath};

#[path = "support/net_guest.rs"]
mod net_guest;
#[path = "support/mod.rs"]
mod support;
#[path = "support/vhost_user.rs"]
mod vhost_user;
use support::nic;

const BOUND: Duration = Duration::from_secs(60);

/// A network namespace. It goes with the test, and takes its taps along.
struct Net(String);

impl Net {
    fn new(name: &str) -> Self {
        let name = format!("vc-{name}-{}", std::process::id());
        ip(&["netns", "add", &name]);
        Self(name)
    }

    fn open(&self) -> OwnedFd {
        netns::open(&Path::new("/run/netns").join(&self.0)).expect("ip made it")
    }

    /// A tap in it with the host's address.
    fn taps(&self, name: &str, queues: u32) -> Vec<OwnedFd> {
        let (inside, tap_name) = (self.open(), name.to_owned());
        let open = move || -> std::io::Result<Vec<OwnedFd>> {
            use std::os::fd::AsFd as _;
            netns::enter(inside.as_fd())?;
            let options = TapOptions { multi_queue: queues > 1, ..TapOptions::default() };
            (0..queues).map(|_| tap::open(&tap_name, options)).collect()
        };
        let taps = std::thread::spawn(open).join().expect("the thread ends").expect("a tap can be made");
        ip(&["-n", &self.0, "addr", "replace", net_guest::HOST, "dev", name]);
        ip(&["-n", &self.0, "link", "set", name, "up"]);
        taps
    }

    /// The taps in it. A tap is gone when the VMM has closed it.
    fn links(&self) -> String {
        let listed = Command::new("ip").args(["-n", &self.0, "-br", "link", "show", "type", "tun"]).output();
        String::from_utf8(listed.expect("ip runs").stdout).expect("text")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().expect("ip runs: apt-get install iproute2");
    assert!(done.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A sandbox's directory with a guest in it that answers for its network.
struct Room {
    dir: tempfile::TempDir,
    net: Net,
}

impl Room {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        net_guest::write_initrd(&support::guest_dir(), &dir.path().join("initrd"));
        Self { dir, net: Net::new(name) }
    }

    fn spec(&self, machine: MachineType, nics: Vec<Nic>, hotplug_slots: u32) -> VmSpec {
        let mut spec = support::spec(machine);
        spec.dir = self.dir.path().to_owned();
        spec.memory.size = MiB(256);
        spec.boot.kernel = support::guest_dir().join("vmlinux");
        spec.boot.root = RootImage::Initrd(self.dir.path().join("initrd"));
        spec.boot.params = vec![KernelParam::new(net_guest::INIT.0, net_guest::INIT.1)];
        (spec.nics, spec.hotplug_slots) = (nics, hotplug_slots);
        spec
    }

    async fn launch(&self, spec: &VmSpec) -> Result<Box<dyn Vm>, VmError> {
        let plan = Qemu::new().plan(spec).expect("it can be built");
        let fds = spec.nics.iter().map(|nic| self.fds(nic)).collect();
        let mark = Mark::new(self.dir.path(), &spec.id, "vmm");
        let mut spawned = |_: &_| Ok(());
        let cx = LaunchCx { nic_fds: fds, netns: Some(self.net.open()), ..LaunchCx::new(mark, &mut spawned) };
        Qemu::new().launch(plan, cx).await
    }

    async fn booted(&self, spec: &VmSpec) -> Box<dyn Vm> {
        let vm = self.launch(spec).await.unwrap_or_else(|error| panic!("{}: {error}", spec.machine));
        said(&*vm, net_guest::READY).await;
        vm
    }

    fn fds(&self, nic: &Nic) -> NicFds {
        NicFds { id: nic.id.clone(), taps: self.net.taps(&nic.id, nic.queues), vhost: Vec::new() }
    }
}

/// Waits until the guest has said it, and returns that line.
async fn said(vm: &dyn Vm, what: &str) -> String {
    let begun = Instant::now();
    loop {
        let lines = vm.console().lines(200);
        // All that the guest says ends so; a line may have come in part.
        if let Some(line) = lines.iter().find(|line| line.contains(what) && line.ends_with('.')) {
            return line.clone();
        }
        assert!(begun.elapsed() < BOUND, "no {what:?} on the console:\n{}", lines.join("\n"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn hotplug(vm: &dyn Vm) -> &dyn Hotplug {
    vm.hotplug().expect("it has slots")
}

fn pci(path: &str) -> PciPath {
    path.parse().expect("a PCI path")
}

fn numbered(id: &str, last: u8) -> Nic {
    let mut nic = nic(id);
    nic.mac.0[5] = last;
    nic
}

#[tokio::test]
async fn vm_network_interfaces_of_the_launch_reach_the_host() {
    for (machine, device) in [
        (MachineType::Q35, "/pci0000:00/0000:00:08.0/virtio"),
        (MachineType::Pc, "/pci0000:00/0000:00:08.0/virtio"),
        (MachineType::Microvm, "/LNRO0005:"),
    ] {
        let room = Room::new("cold");
        let mut queues = numbered("net0", 7);
        (queues.queues, queues.mtu) = (2, Some(1400));
        let mut spec = room.spec(machine, vec![queues], 0);
        spec.vcpus = virtcontainers_types::VcpuCount::new(2).expect("not zero");
        spec.max_vcpus = spec.vcpus;
        let vm = room.booted(&spec).await;
        let line = said(&*vm, "PONG 02:00:00:00:00:07").await;
        assert!(line.contains("mtu 1400 queues 2"), "{machine}: {line}");
        assert!(line.contains(device), "{machine}: {line}");
        assert!(vm.hotplug().is_none(), "{machine} was given no slots");
        let pid = vm.record().process.expect("QEMU is a process").pid;
        let inside = fs::read_link(format!("/proc/{pid}/ns/net")).expect("it is alive");
        assert_ne!(inside, fs::read_link("/proc/self/ns/net").expect("so is this"));
        vm.shutdown(Shutdown::Quit).await.expect("it quits");
        assert_eq!(room.net.links(), "", "{machine}: its taps go with it");
    }
}

/// Plugs and unplugs into the one slot that there is, again and again. Says how long it all took, and the longest removal.
async fn come_and_go(machine: MachineType, cycles: u8, path: &str, device: &str) -> (Duration, Duration) {
    let room = Room::new("cycle");
    let vm = room.booted(&room.spec(machine, Vec::new(), 1)).await;
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for cycle in 0..cycles {
        let nic = numbered("net0", cycle);
        let plugged = hotplug(&*vm).add_nic(&nic, room.fds(&nic)).await;
        let plugged = plugged.unwrap_or_else(|error| panic!("{machine}, cycle {cycle}: {error}"));
        assert_eq!(plugged, Some(pci(path)));
        // The guest sees some of them, and is only just told of the others.
        if cycle % 10 == 9 {
            let line = said(&*vm, &format!("PONG {}", nic.mac)).await;
            assert!(line.contains(device), "{line}");
        }
        let asked = Instant::now();
        let gone = hotplug(&*vm).remove_nic("net0").await;
        gone.unwrap_or_else(|error| panic!("{machine}, cycle {cycle}: {error}"));
        longest = longest.max(asked.elapsed());
        assert_eq!(room.net.links(), "", "the VMM has closed the tap");
    }
    let all = began.elapsed();
    vm.shutdown(Shutdown::Quit).await.expect("it quits");
    (all, longest)
}

#[tokio::test]
async fn vm_network_interfaces_come_and_go_on_q35_without_losing_a_slot() {
    let took = come_and_go(MachineType::Q35, 50, "08/00", "/pci0000:00/0000:00:08.0/0000:01:00.0/").await;
    println!("50 cycles, the longest removal: {took:?}");
}

#[tokio::test]
async fn vm_network_interfaces_come_and_go_on_pc_without_losing_a_slot() {
    let took = come_and_go(MachineType::Pc, 12, "08", "/pci0000:00/0000:00:08.0/virtio").await;
    println!("12 cycles, the longest removal: {took:?}");
}

#[tokio::test]
async fn vm_slots_run_out_are_freed_and_any_process_plugs() {
    for (machine, paths) in
        [(MachineType::Q35, ["08/00", "09/00", "0a/00"]), (MachineType::Pc, ["08", "09", "0a"])]
    {
        let room = Room::new("slots");
        let spec = room.spec(machine, vec![numbered("cold", 1)], 2);
        assert_eq!(cold_nic_path(&spec, "cold"), Some(pci(paths[0])));
        let vm = room.booted(&spec).await;
        said(&*vm, "PONG 02:00:00:00:00:01").await;
        hotplug(&*vm).remove_nic("cold").await.expect("what came with the launch can go");
        // The launcher still holds its own monitor.
        let other = Qemu::new().reattach(&vm.record()).await.expect("it is alive");
        for (number, path) in (2..).zip(paths) {
            let nic = numbered(&format!("hot{number}"), number);
            let by = if number == 3 { &vm } else { &other };
            let plugged = hotplug(&**by).add_nic(&nic, room.fds(&nic)).await.expect("a slot is free");
            assert_eq!(plugged, Some(pci(path)));
        }
        let there = hotplug(&*vm).nics().await.expect("it answers");
        let there: Vec<_> =
            there.into_iter().map(|nic| (nic.id, nic.path.expect("on PCI").to_string())).collect();
        let expected = [("hot2", paths[0]), ("hot3", paths[1]), ("hot4", paths[2])];
        assert_eq!(there, expected.map(|(id, path)| (id.to_owned(), path.to_owned())));

        let twice = numbered("hot2", 2);
        let mut given = room.fds(&numbered("more", 9));
        given.id = "hot2".into();
        let error = hotplug(&*other).add_nic(&twice, given).await.expect_err("it is there");
        assert!(matches!(error, VmError::DuplicateNic { .. }), "{error:?}");
        let more = numbered("more", 9);
        let error = hotplug(&*other).add_nic(&more, room.fds(&more)).await.expect_err("all are taken");
        assert!(matches!(error, VmError::NoFreeSlot { slots: 3, .. }), "{error:?}");
        assert!(!room.net.links().contains("more"), "nothing of it is left");

        hotplug(&*vm).remove_nic("hot3").await.expect("it goes");
        hotplug(&*other).remove_nic("hot3").await.expect("what is gone is no error");
        let plugged = hotplug(&*vm).add_nic(&more, room.fds(&more)).await.expect("a slot is free again");
        assert_eq!(plugged, Some(pci(paths[1])));
        vm.shutdown(Shutdown::Quit).await.expect("it quits");
    }
}

#[tokio::test]
async fn vm_interface_that_cannot_be_plugged_leaves_nothing() {
    let room = Room::new("undo");
    let vm = room.booted(&room.spec(MachineType::Q35, Vec::new(), 1)).await;
    let nic = numbered("net0", 1);
    let none = hotplug(&*vm).add_nic(&nic, NicFds { id: "net0".into(), ..NicFds::default() }).await;
    assert!(matches!(none, Err(VmError::NicFds { expected: 1, given: 0, .. })), "{none:?}");
    // A descriptor that is no tap: QEMU refuses the netdev.
    let file = OwnedFd::from(fs::File::open("/dev/null").expect("it is there"));
    let fds = NicFds { id: "net0".into(), taps: vec![file], vhost: Vec::new() };
    let refused = hotplug(&*vm).add_nic(&nic, fds).await;
    assert!(matches!(refused, Err(VmError::Qmp { command: "netdev_add", .. })), "{refused:?}");
    let mut user = nic.clone();
    user.backend = NicBackend::VhostUser { socket: room.dir.path().join("nobody.sock") };
    let refused = hotplug(&*vm).add_nic(&user, NicFds { id: "net0".into(), ..NicFds::default() }).await;
    assert!(matches!(refused, Err(VmError::Qmp { command: "chardev-add", .. })), "{refused:?}");
    // A device that is nowhere on the host.
    let mut through = nic.clone();
    through.backend = NicBackend::Vfio { host: "ffff:ff:1f.7".into() };
    let refused = hotplug(&*vm).add_nic(&through, NicFds { id: "net0".into(), ..NicFds::default() }).await;
    assert!(matches!(refused, Err(VmError::Qmp { command: "device_add", .. })), "{refused:?}");
    let plugged =
        hotplug(&*vm).add_nic(&nic, room.fds(&nic)).await.expect("the slot is free, the ids as well");
    assert_eq!(plugged, Some(pci("08/00")));
    said(&*vm, "PONG 02:00:00:00:00:01").await;
    vm.shutdown(Shutdown::Quit).await.expect("it quits");
}

/// The guest stands still: its driver would ask more of the process than this one can do.
#[tokio::test]
async fn vm_interface_of_another_process_is_plugged() {
    let room = Room::new("user");
    let mut spec = room.spec(MachineType::Q35, Vec::new(), 1);
    spec.memory.shared = true;
    let vm = room.booted(&spec).await;
    vm.pause().await.expect("it pauses");
    let socket = room.dir.path().join("nic.sock");
    let ended = vhost_user::serve(&socket);
    let mut nic = numbered("net0", 1);
    nic.backend = NicBackend::VhostUser { socket };
    let none = NicFds { id: "net0".into(), ..NicFds::default() };
    let plugged = hotplug(&*vm).add_nic(&nic, none).await.expect("it comes");
    assert_eq!(plugged, Some(pci("08/00")));
    let there = hotplug(&*vm).nics().await.expect("it answers");
    assert_eq!(there, [PluggedNic { id: "net0".into(), path: Some(pci("08/00")) }]);
    vm.shutdown(Shutdown::Quit).await.expect("it quits");
    ended.recv_timeout(BOUND).expect("the VMM hangs up");
}

#[tokio::test]
async fn vm_that_does_not_hear_keeps_its_interface_and_gives_it_up_later() {
    let room = Room::new("deaf");
    let vm = room.booted(&room.spec(MachineType::Q35, Vec::new(), 1)).await;
    let nic = numbered("net0", 1);
    hotplug(&*vm).add_nic(&nic, room.fds(&nic)).await.expect("it comes");
    said(&*vm, "PONG 02:00:00:00:00:01").await;
    vm.pause().await.expect("it pauses");
    let error = hotplug(&*vm).remove_nic("net0").await.expect_err("its processors stand still");
    assert!(matches!(error, VmError::NotReleased { .. }), "{error:?}");
    vm.resume().await.expect("it goes on");
    hotplug(&*vm).remove_nic("net0").await.expect("it goes");
    assert_eq!(room.net.links(), "");
    vm.shutdown(Shutdown::Quit).await.expect("it quits");
}

#[tokio::test]
async fn vm_descriptors_have_to_be_those_of_the_plan() {
    let room = Room::new("fds");
    let spec = room.spec(MachineType::Microvm, vec![nic("net0")], 3);
    let plan = Qemu::new().plan(&spec).expect("it can be built");
    let mark = Mark::new(room.dir.path(), &spec.id, "vmm");
    let mut spawned = |_: &_| Ok(());
    let error =
        Qemu::new().launch(plan, LaunchCx::new(mark.clone(), &mut spawned)).await.expect_err("no tap");
    assert!(matches!(error, VmError::NicFds { expected: 1, given: 0, .. }), "{error:?}");
    assert_eq!(mark.find().expect("/proc can be read"), []);
    let vm = room.launch(&spec).await.expect("it launches");
    assert!(vm.hotplug().is_none(), "a microvm takes nothing, whatever is asked");
    vm.shutdown(Shutdown::Quit).await.expect("it quits");
}
