//! Side (a): the processes of a sandbox started by hand, without the library.
//!
//! The clock starts before the first socket is bound. It covers, in this order: virtiofsd (with its inherited socket),
//! the vsock daemon until it listens, QEMU (with its inherited sockets), the greeting of its monitor and `cont`, the
//! proxy, the guest's announcement (a connection to the host, or `VSERPORT_CHANGE`), the connection to the agent, and
//! its Check. It stops there; ending the processes and removing their files is not covered.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};
use virtcontainers::agent::{
    AgentConnector as _, KataConnector,
    announce::{Announcement, HYBRID_PORT},
};
use virtcontainers_agent_protocol::{ports, transport::AgentAddress};
use virtcontainers_sys::{
    process::Signal,
    spawn::{Child, Spawn},
    unix,
};

use crate::{
    Failure,
    recipe::{Recipe, Start},
};

/// How long anything may take before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// The sockets of the vsock daemon.
const VSOCK: &str = "vsock.sock";
const VHOST_VSOCK: &str = "vhost-vsock.sock";

/// Boots once; how long it took.
pub(crate) async fn boot(recipe: &Recipe, dir: &Path) -> Result<Duration, Failure> {
    for dir in [dir.to_owned(), dir.join("shared")] {
        fs::create_dir(dir)?;
    }
    let mut processes = Processes::default();
    let took = timeout(PATIENCE, until_answer(recipe, dir, &mut processes)).await;
    processes.end().await?;
    fs::remove_dir_all(dir)?;
    took?
}

async fn until_answer(recipe: &Recipe, dir: &Path, processes: &mut Processes) -> Result<Duration, Failure> {
    let clock = Instant::now();
    if let Some(virtiofsd) = &recipe.virtiofsd {
        processes.start(recipe, virtiofsd, dir)?;
    }
    let mut announcement = None;
    if let Some(daemon) = &recipe.vsock_daemon {
        announcement = Some(Announcement::hybrid(dir, VSOCK, HYBRID_PORT)?);
        let process = processes.start(recipe, daemon, dir)?.process();
        for socket in [VHOST_VSOCK, VSOCK] {
            unix::wait_for_socket(dir, socket, Some(process), PATIENCE).await?;
        }
    }
    processes.start(recipe, &recipe.vmm, dir)?;
    let mut monitor = Monitor::open(dir).await?;
    monitor.command("cont").await?;
    if let Some(proxy) = &recipe.proxy {
        processes.start(recipe, proxy, dir)?;
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
    let agent = KataConnector::default().connect(&address).await?;
    agent.check().await?;
    Ok(clock.elapsed())
}

/// The processes of one boot, the VMM last or before the proxy.
#[derive(Debug, Default)]
struct Processes(Vec<Child>);

impl Processes {
    fn start(&mut self, recipe: &Recipe, start: &Start, dir: &Path) -> Result<&Child, Failure> {
        let log = Path::new(&start.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut spawn =
            Spawn::new(&start.program).args(recipe.args(start, dir)).cwd(dir).stderr(dir.join(log + ".log"));
        for (name, fd) in &start.sockets {
            let listener = unix::bind_in(dir, name)?;
            listener.set_nonblocking(false)?;
            spawn = spawn.fd(listener.into(), *fd);
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
