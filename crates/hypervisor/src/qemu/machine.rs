//! A QEMU process with a guest in it.

use std::{io, path::Path, time::Duration};

use async_trait::async_trait;
use qapi::{Command, qmp};
use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    sync::{Mutex, watch},
    time::timeout,
};
use virtcontainers_sys::{
    log::BoundedLog,
    process::{ProcessRef, Signal},
    task::{self, Task},
};

use super::qmp::{COMMAND, GuestEvent, Qmp};
use crate::{
    console::ConsoleTail,
    error::VmError,
    hotplug::Hotplug,
    vm::{Shutdown, Vm, VmExit, VmRecord, VmState},
};

/// From the command to quit to the end of the process.
const QUIT: Duration = Duration::from_secs(5);
/// From SIGKILL to the end of the process: the kernel must free all its memory. Shorter than the store gives a release,
/// so that what is told is what survives.
const KILL: Duration = Duration::from_secs(10);
/// Between the end of the process and the end of its console, which the kernel still holds.
const DRAIN: Duration = Duration::from_millis(200);
/// From a broken connection to the end of the process that broke it.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// A QEMU process with a guest in it, launched or taken over. To drop it is not to end it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) record: VmRecord,
    pub(super) process: ProcessRef,
    /// The launcher's monitor; a process that took the machine over has none, and borrows the other for each command.
    pub(super) monitor: Option<Qmp>,
    pub(super) exit: Exit,
    /// Kept here so that who waits for an event waits on, whatever becomes of the monitor.
    pub(super) heard: Heard,
    pub(super) console: ConsoleTail,
    /// Held while a device comes or goes, so that one process never picks a slot twice.
    pub(super) plugging: Mutex<()>,
}

/// What the events of one monitor have told.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// Whether the agent's port is open.
    pub(super) port: watch::Sender<bool>,
    /// Of devices that were to go.
    pub(super) unplugs: watch::Sender<Unplugs>,
}

/// What was heard of devices that were to go. It says when to look; what is there is asked of QEMU.
#[derive(Debug, Default)]
pub(super) struct Unplugs {
    /// The device that the guest refused to give up last.
    pub(super) kept: Option<String>,
}

/// A monitor in use: the launcher's, or the other one for as long as this is held.
pub(super) struct Monitor<'m> {
    held: Held<'m>,
    pub(super) unplugs: watch::Receiver<Unplugs>,
}

enum Held<'m> {
    Launchers(&'m Qmp),
    Borrowed(Qmp),
}

impl Monitor<'_> {
    pub(super) fn qmp(&self) -> &Qmp {
        match &self.held {
            Held::Launchers(qmp) => qmp,
            Held::Borrowed(qmp) => qmp,
        }
    }
}

/// The end of a process, told to everyone who asks.
#[derive(Debug)]
pub(super) struct Exit {
    told: watch::Receiver<Option<VmExit>>,
    _watcher: Task<()>,
}

impl Exit {
    /// Watches a process by waiting for it, and lets the last of its console come in before telling of its end.
    pub(super) fn watch(
        wait: impl Future<Output = io::Result<VmExit>> + Send + 'static,
        console: Task<()>,
    ) -> Self {
        let (tell, told) = watch::channel(None);
        let watcher = async move {
            match wait.await {
                Ok(exit) => {
                    timeout(DRAIN, console).await.ok();
                    tell.send_replace(Some(exit));
                }
                Err(error) => tracing::error!(%error, "cannot watch the VMM's process"),
            }
        };
        Self { told, _watcher: task::spawn("vmm-exit", watcher) }
    }

    /// Waits for the end.
    pub(super) async fn wait(&self) -> VmExit {
        let mut told = self.told.clone();
        let exit = told.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        match exit {
            Some(exit) => exit,
            // The watcher failed, and has said so: what is left are the bounds of those who wait.
            None => std::future::pending().await,
        }
    }

    /// Waits for the end, but not longer than this.
    pub(super) async fn within(&self, bound: Duration) -> Option<VmExit> {
        timeout(bound, self.wait()).await.ok()
    }
}

/// Reads a console to its end, keeping the tail, and in `dir` the log that whoever reads the console appends to.
pub(super) fn read_console(stream: Option<UnixStream>, tail: ConsoleTail, dir: &Path) -> Task<()> {
    let dir = dir.to_owned();
    task::spawn("console", async move {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 8 << 10];
        let mut log = None;
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            tail.push(&buffer[..count]);
            // Opened only now: one who waits in vain for its turn at the console has nothing to write.
            let kept = match &mut log {
                Some(log) => BoundedLog::append(log, &buffer[..count]),
                none => match BoundedLog::open(&dir, super::CONSOLE_LOG, super::CONSOLE_LIMIT) {
                    Ok(opened) => none.insert(opened).append(&buffer[..count]),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = kept {
                tracing::debug!(%error, "cannot keep what the console tells");
            }
        }
    })
}

impl Heard {
    /// What a monitor does with events.
    pub(super) fn listener(self) -> impl FnMut(GuestEvent) + Send + 'static {
        move |event| match event {
            GuestEvent::Port { id, open } if id == super::AGENT_PORT => {
                self.port.send_replace(open);
            }
            GuestEvent::Port { .. } => {}
            GuestEvent::Panicked => tracing::warn!("the guest's kernel has panicked"),
            GuestEvent::Shutdown { reason } => tracing::debug!(reason, "the guest has ended"),
            GuestEvent::Deleted => self.unplugs.send_modify(|_| {}),
            GuestEvent::Kept { id } => self.unplugs.send_modify(|unplugs| unplugs.kept = id),
        }
    }
}

impl Machine {
    /// Runs a command on whichever monitor this process has.
    pub(super) async fn execute<C: Command>(&self, command: C) -> Result<C::Ok, VmError> {
        self.while_alive(async { self.monitor().await?.qmp().execute(command, COMMAND).await }).await
    }

    /// Whichever monitor this process has.
    pub(super) async fn monitor(&self) -> Result<Monitor<'_>, VmError> {
        if let Some(qmp) = self.monitor.as_ref().filter(|monitor| monitor.is_open()) {
            return Ok(Monitor { held: Held::Launchers(qmp), unplugs: self.heard.unplugs.subscribe() });
        }
        let heard = Heard::default();
        let unplugs = heard.unplugs.subscribe();
        let qmp = Qmp::open(&self.record.dir, super::CONTROL_SOCKET, COMMAND, heard.listener()).await?;
        Ok(Monitor { held: Held::Borrowed(qmp), unplugs })
    }

    /// Does something with the VMM, unless that ends first.
    pub(super) async fn while_alive<T>(
        &self,
        work: impl Future<Output = Result<T, VmError>>,
    ) -> Result<T, VmError> {
        let gone = || VmError::Gone { process: Some(self.process) };
        let answer = tokio::select! {
            biased;
            _exit = self.exit.wait() => return Err(gone()),
            answer = work => answer,
        };
        match answer {
            // A dying process closes its sockets a moment before it is seen to be dead.
            Err(VmError::Control { .. } | VmError::Io { .. }) if self.exit.within(SETTLE).await.is_some() => {
                Err(gone())
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl Vm for Machine {
    fn record(&self) -> VmRecord {
        self.record.clone()
    }

    fn exited(&self) -> watch::Receiver<Option<VmExit>> {
        self.exit.told.clone()
    }

    fn agent_port_open(&self) -> watch::Receiver<bool> {
        self.heard.port.subscribe()
    }

    fn console(&self) -> ConsoleTail {
        self.console.clone()
    }

    async fn state(&self) -> Result<VmState, VmError> {
        use qmp::RunState;
        let status = self.execute(qmp::query_status {}).await?.status;
        Ok(match status {
            RunState::running | RunState::debug | RunState::watchdog => VmState::Running,
            RunState::shutdown | RunState::guest_panicked | RunState::internal_error => VmState::Down,
            RunState::paused
            | RunState::prelaunch
            | RunState::io_error
            | RunState::inmigrate
            | RunState::postmigrate
            | RunState::finish_migrate
            | RunState::restore_vm
            | RunState::save_vm
            | RunState::suspended
            | RunState::colo => VmState::Paused,
        })
    }

    async fn pause(&self) -> Result<(), VmError> {
        self.execute(qmp::stop {}).await.map(drop)
    }

    async fn resume(&self) -> Result<(), VmError> {
        self.execute(qmp::cont {}).await.map(drop)
    }

    async fn shutdown(&self, how: Shutdown) -> Result<VmExit, VmError> {
        if let Shutdown::Graceful(patience) = how
            && let Some(exit) = self.exit.within(patience).await
        {
            return Ok(exit);
        }
        if how != Shutdown::Kill {
            let quit = async {
                match self.execute(qmp::quit {}).await {
                    Ok(_) | Err(VmError::Gone { .. }) => self.exit.wait().await,
                    Err(error) => {
                        tracing::warn!(%error, pid = self.process.pid, "the VMM does not quit");
                        std::future::pending().await
                    }
                }
            };
            if let Ok(exit) = timeout(QUIT, quit).await {
                return Ok(exit);
            }
        }
        self.process
            .kill(Signal::KILL)
            .map_err(VmError::io("kill", format!("/proc/{}", self.process.pid)))?;
        self.exit.within(KILL).await.ok_or_else(|| VmError::Timeout {
            waiting_for: format!("the end of process {} after SIGKILL", self.process.pid),
            after: KILL,
            console: Vec::new(),
        })
    }
    fn hotplug(&self) -> Option<&dyn Hotplug> {
        self.record.plug_slots.is_some().then_some(self)
    }
}
