//! Boots that fail, with real machines: one error that says why, soon, and nothing left.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use virtcontainers_sys::process::Mark;

use crate::{
    pty::Pty,
    stage::{BUSYBOX, LONG, Stage, code, guest_dir, until, wait},
};

/// How far a boot has come when something happens to it.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The sandbox has a record.
    Begun,
    /// Its sockets are there.
    Prepared,
    /// Its machine has worked for half a second: the guest boots.
    Booting,
}

impl Moment {
    fn await_it(self, stage: &Stage, sandbox: &str) {
        let dir = stage.root().join("sandboxes").join(sandbox);
        until(&format!("sandbox {sandbox} is {self:?}"), || match self {
            Self::Begun => dir.join("record.json").exists(),
            Self::Prepared => dir.join("qmp.sock").exists(),
            Self::Booting => {
                let marked = Mark::find_under(stage.root()).unwrap();
                marked.iter().any(|marked| marked.role == "vmm" && has_worked(marked.process.pid))
            }
        });
    }
}

/// Whether a process has had half a second of a processor in user mode (field 14 of proc_pid_stat(5)).
fn has_worked(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name
        .split_whitespace()
        .nth(11)
        .and_then(|ticks| ticks.parse().ok())
        .is_some_and(|ticks: u64| ticks >= 50)
}

#[test]
fn vm_boot_that_is_interrupted() {
    let stage = Stage::with_machine();
    for (signal, code, moment) in [
        (Signal::INT, 130, Moment::Begun),
        (Signal::TERM, 143, Moment::Prepared),
        (Signal::INT, 130, Moment::Booting),
        (Signal::HUP, 129, Moment::Booting),
    ] {
        let job = stage.start("run --name cut --rootfs {rootfs} -- true", &[]);
        moment.await_it(&stage, "cut");
        job.signal(signal);
        let outcome = job.end(Duration::from_secs(30));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{moment:?}: {outcome:?}");
        outcome.says(&["interrupted"]);
        stage.assert_clean();
    }
}

#[test]
fn vm_boot_whose_virtc_is_killed() {
    let stage = Stage::with_machine();
    for moment in [Moment::Begun, Moment::Prepared, Moment::Booting] {
        let job = stage.start("run --name half --rootfs {rootfs} -- true", &[]);
        moment.await_it(&stage, "half");
        job.signal(Signal::KILL);
        assert_eq!(job.end(LONG).code, -9);
        assert_eq!(stage.well("sandbox list -q"), "half\n", "{moment:?}");
        let taken = stage.virtc("run --name half --rootfs {rootfs} -- true");
        assert_eq!(taken.code, 125, "{taken:?}");
        taken.says(&["half"]);
        stage.well("sandbox delete -f half");
        stage.assert_clean();
    }
}

#[test]
fn vm_kernel_that_panics() {
    let stage = Stage::with_machine();
    let outcome =
        stage.virtc("run --name panics --rootfs {rootfs} --kernel-param rdinit=/nonexistent -- true");
    assert_eq!(outcome.code, 125, "{outcome:?}");
    outcome.says(&["sandbox panics", "console", "Kernel panic"]);
    assert!(outcome.took < Duration::from_secs(50), "{:?}", outcome.took);
    stage.assert_clean();
}

#[test]
fn vm_agent_that_never_answers() {
    let stage = Stage::with_machine();
    let init = "#!/bin/sh\necho no agent here >/dev/console\nwhile :; do busybox sleep 1000; done\n";
    let initrd = cpio(&[
        ("dev", 0o040_755, b""),
        ("bin", 0o040_755, b""),
        ("bin/busybox", 0o100_755, &std::fs::read(BUSYBOX).unwrap()),
        ("bin/sh", 0o120_777, b"busybox"),
        ("init", 0o100_755, init.as_bytes()),
    ]);
    stage.file("initrd", initrd);
    let kernel = guest_dir().canonicalize().unwrap().join("vmlinux");
    let kernel = kernel.display();
    let outcome = stage.virtc(&format!(
        "run --name silent --rootfs {{rootfs}} --kernel {kernel} --initrd initrd --boot-timeout 15 -- true"
    ));
    assert_eq!(outcome.code, 125, "{outcome:?}");
    outcome.says(&["sandbox silent", "15s", "boot_timeout"]);
    assert!((15..40).contains(&outcome.took.as_secs()), "{:?}", outcome.took);
    stage.assert_clean();
}

#[test]
fn vm_machine_that_dies_under_a_terminal() {
    let stage = Stage::with_machine();
    let mut pty = Pty::new(24, 80);
    let before = pty.modes();
    let command = &mut stage
        .command("run --rm -it --name victim --rootfs {rootfs}", &["--", "sh", "-c", "echo up; cat"]);
    let mut child = pty.spawn(command);
    pty.expect("up\r\n");
    let vmm = stage.json("sandbox status victim")["vmm_pid"].as_i64().unwrap();
    let vmm = Pid::from_raw(i32::try_from(vmm).unwrap()).unwrap();
    rustix::process::kill_process(vmm, Signal::KILL).unwrap();
    let status = wait(&mut child, Duration::from_secs(30)).expect("virtc did not end");
    assert_eq!(code(status), 125);
    pty.expect("sandbox victim");
    assert_eq!(pty.modes().local_modes, before.local_modes, "the terminal is as it was");
    stage.assert_clean();
}

/// An initrd of these files: the kernel's own format, "newc" (Documentation/driver-api/early-userspace).
fn cpio(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let end = [("TRAILER!!!", 0, &b""[..])];
    for (inode, (name, mode, content)) in files.iter().chain(&end).enumerate() {
        let pad = |archive: &mut Vec<u8>| archive.resize(archive.len().next_multiple_of(4), 0);
        // Inode, mode, owner, group, links, time, size, two device numbers twice, length of the name, checksum.
        let fields = [inode, *mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        fields.iter().for_each(|field| archive.extend(format!("{field:08x}").bytes()));
        archive.extend(name.bytes().chain([0]));
        pad(&mut archive);
        archive.extend(*content);
        pad(&mut archive);
    }
    archive
}
