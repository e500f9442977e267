//! A sandbox's processes, started by hand: no records, no library.

use std::{os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};
use virtcontainers::agent::{
    Agent, AgentConnector as _, KataConnector,
    announce::{Announcement, HYBRID_PORT},
};
use virtcontainers_agent_protocol::{ports, transport::AgentAddress};
use virtcontainers_sys::{
    process::Signal,
    spawn::{Child, Spawn},
    unix,
};

use super::recipe::{Recipe, Start};
use crate::Failure;

/// How long anything may take before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// The sockets of the vsock daemon.
const VSOCK: &str = "vsock.sock";
const VHOST_VSOCK: &str = "vhost-vsock.sock";

/// What the VMM is given beside its sockets.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    /// The network namespace in which it starts.
    pub(crate) netns: Option<OwnedFd>,
    /// What it inherits of its network, in the order of its command line.
    pub(crate) network: Vec<OwnedFd>,
}

/// A machine whose agent can be dialled. Its processes end with it, at the latest with this thread.
pub(crate) struct Machine {
    pub(crate) agent: Arc<dyn Agent>,
    processes: Processes,
}

impl Machine {
    /// In this order: virtiofsd (with its inherited socket), the vsock daemon until it listens, QEMU (with its inherited
    /// sockets and wires), the greeting of its monitor and `cont`, the proxy, the guest's announcement (a connection to the
    /// host, or `VSERPORT_CHANGE`), and the connection to the agent. The directory is there, and in it `shared`.
    pub(crate) async fn boot(recipe: &Recipe, dir: &Path, wires: Wires) -> Result<Self, Failure> {
        let mut processes = Processes::default();
        match timeout(PATIENCE, dialled(recipe, dir, wires, &mut processes)).await {
            Ok(Ok(agent)) => Ok(Self { agent, processes }),
            Ok(Err(error)) => {
                processes.end().await?;
                Err(error)
            }
            Err(elapsed) => {
                processes.end().await?;
                Err(format!("the guest does not announce itself: {elapsed}").into())
            }
        }
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.processes.end().await
    }
}

async fn dialled(
    recipe: &Recipe,
    dir: &Path,
    wires: Wires,
    processes: &mut Processes,
) -> Result<Arc<dyn Agent>, Failure> {
    if let Some(virtiofsd) = &recipe.virtiofsd {
        processes.start(recipe, virtiofsd, dir, Wires::default())?;
    }
    let mut announcement = None;
    if let Some(daemon) = &recipe.vsock_daemon {
        announcement = Some(Announcement::hybrid(dir, VSOCK, HYBRID_PORT)?);
        let process = processes.start(recipe, daemon, dir, Wires::default())?.process();
        for socket in [VHOST_VSOCK, VSOCK] {
            unix::wait_for_socket(dir, socket, Some(process), PATIENCE).await?;
        }
    }
    processes.start(recipe, &recipe.vmm, dir, wires)?;
    let mut monitor = Monitor::open(dir).await?;
    monitor.command("cont").await?;
    if let Some(proxy) = &recipe.proxy {
        processes.start(recipe, proxy, dir, Wires::default())?;
    }
    let address = match &mut announcement {
        Some(announcement) => {
            announcement.heard().await?;
            AgentAddress::HybridVsock { dir: dir.to_owned(), name: VSOCK.to_owned(), port: ports::AGENT }
        }
        None if recipe.is_serial() => {
            monitor.port_open().await?;
            AgentAddress::Unix { dir: dir.to_owned(), name: "proxy.sock".to_owned() }
        }
        None => return Err("this transport has no raw side: choose hybrid-vsock or virtio-serial".into()),
    };
    Ok(KataConnector::default().connect(&address).await?)
}

/// The processes of one boot, the VMM last or before the proxy.
#[derive(Debug, Default)]
struct Processes(Vec<Child>);

impl Processes {
    fn start(&mut self, recipe: &Recipe, start: &Start, dir: &Path, wires: Wires) -> Result<&Child, Failure> {
        let log = Path::new(&start.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut spawn =
            Spawn::new(&start.program).args(recipe.args(start, dir)).cwd(dir).stderr(dir.join(log + ".log"));
        spawn = spawn.parent_death_signal(Signal::KILL);
        for (name, fd) in &start.sockets {
            let listener = unix::bind_in(dir, name)?;
            listener.set_nonblocking(false)?;
            spawn = spawn.fd(listener.into(), *fd);
        }
        for (fd, &number) in wires.network.into_iter().zip(&recipe.network) {
            spawn = spawn.fd(fd, number);
        }
        if let Some(netns) = wires.netns {
            spawn = spawn.netns(netns);
        }
        self.0.push(spawn.spawn()?);
        Ok(self.0.last().ok_or("nothing was started")?)
    }

    /// Kills them all, the last started first. virtiofsd works in a child, which ends when the VMM has.
    async fn end(mut self) -> Result<(), Failure> {
        while let Some(mut child) = self.0.pop() {
            child.signal(Signal::TERM)?;
            if timeout(Duration::from_secs(5), child.wait()).await.is_err() {
                child.signal(Signal::KILL)?;
                child.wait().await?;
            }
        }
        Ok(())
    }
}

/// For one that nobody ended.
impl Drop for Processes {
    fn drop(&mut self) {
        for child in &self.0 {
            child.signal(Signal::KILL).ok(); // it may have ended by itself
        }
    }
}

/// QEMU's monitor.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    async fn open(dir: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::from_std(unix::connect_in(dir, "qmp.sock")?)?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.read(|line| line.get("QMP").is_some()).await?;
        monitor.command("qmp_capabilities").await?;
        Ok(monitor)
    }

    async fn command(&mut self, name: &str) -> Result<(), Failure> {
        self.0.write_all(format!("{}\n", json!({ "execute": name })).as_bytes()).await?;
        self.read(|line| line.get("return").is_some()).await
    }

    /// Waits until the guest has opened the agent's port.
    async fn port_open(&mut self) -> Result<(), Failure> {
        self.read(|line| line["event"] == "VSERPORT_CHANGE" && line["data"]["open"] == true).await
    }

    /// Reads until the line that is waited for.
    async fn read(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<(), Failure> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err("QEMU has closed its monitor: see its log".into());
            }
            let line: Value = serde_json::from_str(&line)?;
            if let Some(error) = line.get("error") {
                return Err(format!("QEMU refuses: {error}").into());
            }
            if wanted(&line) {
                return Ok(());
            }
        }
    }
}
