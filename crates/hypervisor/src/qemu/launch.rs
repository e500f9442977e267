//! Starting a QEMU process and the guest in it.
//!
//! The sockets exist, and the console is connected, before the process does: nothing is polled for, and no byte of the
//! console is lost. The guest's processors stand still until the caller has the process on record and the events are
//! listened to. Whatever goes wrong, or if the caller goes away, the process ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::ExitStatus,
    time::Duration,
};

use qapi::qmp;
use tokio::{net::UnixStream, sync::Mutex};
use virtcontainers_sys::{
    process::{Mark, ProcessRef, Signal},
    spawn::{Child, Spawn, SpawnError},
    unix,
};
use virtcontainers_types::HypervisorKind;

use super::{
    machine::{Exit, Heard, Machine, SETTLE, read_console},
    qmp::Qmp,
};
use crate::{
    console::ConsoleTail,
    error::VmError,
    nic::NicFds,
    plan::{LaunchCx, LaunchPlan},
    vm::{VmExit, VmRecord},
};

/// From the start of the process to the monitor's greeting. Preallocating much memory takes long.
const START: Duration = Duration::from_secs(60);
/// How much of QEMU's standard error goes into a report, in bytes.
const STDERR_TAIL: u64 = 4096;
/// How many lines of the console go into a report.
const CONSOLE_LINES: usize = 20;

/// Launches.
pub(super) async fn launch(plan: LaunchPlan, cx: LaunchCx<'_>) -> Result<Machine, VmError> {
    let spawn = prepare(&plan, &cx.mark)?;
    let spawn = hand_over(spawn, &plan, cx.nic_fds)?;
    let spawn = match cx.netns {
        Some(netns) => spawn.netns(netns),
        None => spawn,
    };
    let spawn = if plan.serves_files { spawn.own_mounts() } else { spawn };
    let console = ConsoleTail::new();
    let stream = unix::connect_in(&plan.dir, super::CONSOLE_SOCKET).and_then(UnixStream::from_std);
    let stream = stream.map_err(VmError::io("connect to", plan.dir.join(super::CONSOLE_SOCKET)))?;
    let mut child = spawn.spawn().map_err(|error| spawn_error(&plan, error))?;
    let process = child.process();
    let started = Started { process };
    let reader = read_console(Some(stream), console.clone(), &plan.dir);
    let exit = Exit::watch(async move { wait(&mut child).await }, reader);
    let record = VmRecord {
        hypervisor: HypervisorKind::Qemu,
        process: Some(process),
        dir: plan.dir.clone(),
        channel: plan.channel.clone(),
        plug_slots: plan.plug_slots,
    };
    if let Err(source) = (cx.spawned)(&record) {
        started.end(&exit).await;
        return Err(VmError::NotRecorded { program: plan.program, source });
    }
    let heard = Heard::default();
    match let_go(&plan.dir, heard.clone(), &exit).await {
        Ok(monitor) => {
            started.keep();
            Ok(Machine {
                record,
                process,
                monitor: Some(monitor),
                exit,
                heard,
                console,
                plugging: Mutex::default(),
            })
        }
        Err(failed) => {
            started.end(&exit).await;
            Err(explain(failed, &plan, &console))
        }
    }
}

/// Why the guest does not run.
enum Failed {
    Exited(VmExit),
    Control(VmError),
}

/// Connects the monitor and starts the processors, unless the process ends first.
async fn let_go(dir: &Path, heard: Heard, exit: &Exit) -> Result<Qmp, Failed> {
    let go = async {
        let monitor = Qmp::open(dir, super::QMP_SOCKET, START, heard.listener()).await?;
        monitor.execute(qmp::cont {}, super::qmp::COMMAND).await?;
        Ok(monitor)
    };
    let error = tokio::select! {
        exit = exit.wait() => return Err(Failed::Exited(exit)),
        gone = go => match gone {
            Ok(monitor) => return Ok(monitor),
            Err(error) => error,
        },
    };
    // A dying process closes its sockets a moment before it is seen to be dead.
    let broken = matches!(error, VmError::Control { .. } | VmError::Io { .. });
    match if broken { exit.within(SETTLE).await } else { None } {
        Some(exit) => Err(Failed::Exited(exit)),
        None => Err(Failed::Control(error)),
    }
}

fn explain(failed: Failed, plan: &LaunchPlan, console: &ConsoleTail) -> VmError {
    let console = console.lines(CONSOLE_LINES);
    match failed {
        Failed::Exited(exit) => {
            let stderr = stderr_tail(&plan.dir.join(super::LOG)).unwrap_or_default();
            VmError::ExitedEarly { program: plan.program.clone(), exit, stderr, console }
        }
        Failed::Control(VmError::Timeout { waiting_for, after, .. }) => {
            VmError::Timeout { waiting_for, after, console }
        }
        Failed::Control(error) => error,
    }
}

/// Binds the sockets, opens the devices, and describes the process.
fn prepare(plan: &LaunchPlan, mark: &Mark) -> Result<Spawn, VmError> {
    let mut spawn = Spawn::new(&plan.program)
        .args(&plan.args)
        .cwd(&plan.dir)
        .stderr(plan.dir.join(super::LOG))
        .mark(mark);
    for socket in &plan.listen {
        let listener = unix::bind_in(&plan.dir, &socket.name);
        let listener = listener.map_err(VmError::io("listen at", plan.dir.join(&socket.name)))?;
        spawn = spawn.fd(listener.into(), socket.fd);
    }
    for device in &plan.open {
        let opened = OpenOptions::new().read(true).write(true).open(&device.path);
        spawn = spawn.fd(opened.map_err(VmError::io("open", &device.path))?.into(), device.fd);
    }
    Ok(spawn)
}

/// Gives the network interfaces their descriptors.
fn hand_over(spawn: Spawn, plan: &LaunchPlan, given: Vec<NicFds>) -> Result<Spawn, VmError> {
    let given = NicFds::sorted(given, &plan.nics)?;
    let pairs = plan.nics.iter().zip(given).flat_map(|(nic, fds)| {
        let taps = nic.taps.iter().zip(fds.taps);
        taps.chain(nic.vhost.iter().zip(fds.vhost))
    });
    Ok(pairs.fold(spawn, |spawn, (&number, fd)| spawn.fd(fd, number)))
}

fn spawn_error(plan: &LaunchPlan, error: SpawnError) -> VmError {
    if let SpawnError::NotFound { program } = error {
        return VmError::NotFound { hint: install_hint(&program), program };
    }
    VmError::Spawn { program: plan.program.clone(), source: io::Error::other(error) }
}

/// How to get a QEMU, on the distributions that we know.
fn install_hint(program: &Path) -> String {
    let package = match program.file_name().and_then(|name| name.to_str()) {
        Some("qemu-system-aarch64") => "qemu-system-arm",
        Some("qemu-system-ppc64") => "qemu-system-ppc",
        Some("qemu-system-s390x") => "qemu-system-misc",
        Some(_) | None => "qemu-system-x86",
    };
    format!("install it (on Debian: apt-get install {package}), or set hypervisor_path to where it is")
}

fn stderr_tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(STDERR_TAIL)))?;
    let mut tail = Vec::new();
    file.take(STDERR_TAIL).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).trim().to_owned())
}

async fn wait(child: &mut Child) -> io::Result<VmExit> {
    child.wait().await.map(|status: ExitStatus| VmExit { code: status.code(), signal: status.signal() })
}

/// A process that is not to outlive the launch that started it, unless the launch succeeds.
#[must_use = "dropping it kills the process"]
struct Started {
    process: ProcessRef,
}

impl Started {
    /// The launch has succeeded.
    fn keep(self) {
        std::mem::forget(self);
    }

    /// The launch has failed: ends the process, and waits until it is gone.
    async fn end(self, exit: &Exit) {
        drop(self);
        if exit.within(SETTLE * 10).await.is_none() {
            tracing::error!("the VMM's process survives SIGKILL");
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill(Signal::KILL) {
            tracing::error!(pid = self.process.pid, %error, "cannot kill the VMM's process");
        }
    }
}
