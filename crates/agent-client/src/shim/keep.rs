//! What the first shim of a sandbox keeps beside its process's log: the guest's console and the agent's own log; and the
//! logs of the sandbox's processes within bounds.
//!
//! An flock says which shim does; the others wait for it, each with a thread that sleeps in the kernel. Nothing of it
//! concerns the process: whatever fails here is told and left.

use std::{convert::Infallible, fs::File, io, path::Path, thread, time::Duration};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::UnixStream,
    sync::oneshot,
    time::MissedTickBehavior,
};
use virtcontainers_agent_protocol::{
    ports,
    transport::{self, AgentAddress},
};
use virtcontainers_sys::{
    log::{BoundedLog, HELPER_LIMIT, trim_all},
    unix,
};

use super::{AGENT_LOG, CONSOLE_LOG, KEPT_LIMIT, ShimOptions};

/// The file that is locked by the shim that keeps.
const LOCK: &str = "keeper.lock";
/// One read, in bytes.
const PIECE: usize = 4 << 10;
/// How often the logs of the sandbox's processes are looked at.
const BETWEEN_CUTS: Duration = Duration::from_secs(10);
/// The stack of a thread that only waits for a lock.
const STACK: usize = 32 << 10;

/// Keeps console and agent log once no other shim does.
pub(super) async fn keep(options: &ShimOptions) -> Infallible {
    let dir = options.sandbox_dir.as_path();
    match lock(dir).await {
        Ok(_lock) => {
            let console = async {
                if let Some(socket) = &options.console {
                    note("the guest's console", console(dir, socket).await);
                }
            };
            let agent = async {
                if let Some(address) = log_address(&options.agent) {
                    note("the agent's log", agent_log(dir, &address).await);
                }
            };
            // To the end, so that no other shim begins what has ended.
            tokio::join!(console, agent, cut_logs(dir)).2
        }
        Err(error) => {
            note("console and agent log", Err(error));
            std::future::pending().await
        }
    }
}

/// Keeps the logs of the sandbox's processes at a bounded size.
async fn cut_logs(dir: &Path) -> Infallible {
    let mut turn = tokio::time::interval(BETWEEN_CUTS);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        note("the size of a log", trim_all(dir, HELPER_LIMIT));
    }
}

fn note(what: &str, kept: io::Result<()>) {
    if let Err(error) = kept {
        tracing::debug!(%error, "{what} cannot be kept");
    }
}

/// Waits for the lock; it is held for as long as the file is open.
async fn lock(dir: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = dir.join(LOCK);
    let file = File::from(rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::from_raw_mode(0o640))?);
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let (tell, told) = oneshot::channel();
    let wait = move || {
        let locked = loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                locked => break locked,
            }
        };
        // Nobody hears it in a shim that ends.
        drop(tell.send(locked.map(|()| file)));
    };
    thread::Builder::new().name("keeper".to_owned()).stack_size(STACK).spawn(wait)?;
    match told.await {
        Ok(locked) => Ok(locked?),
        Err(closed) => Err(io::Error::other(closed)),
    }
}

/// The console is a socket with one client at a time: to connect is to wait until it is let go.
async fn console(dir: &Path, socket: &str) -> io::Result<()> {
    let console = UnixStream::from_std(unix::connect_in(dir, socket)?)?;
    copy(console, BoundedLog::open(dir, CONSOLE_LOG, KEPT_LIMIT)?).await
}

/// An agent that keeps no log for the host hangs up.
async fn agent_log(dir: &Path, address: &AgentAddress) -> io::Result<()> {
    let log = transport::connect(address).await.map_err(io::Error::other)?;
    copy(log, BoundedLog::open(dir, AGENT_LOG, KEPT_LIMIT)?).await
}

/// Where the agent gives its log, if it can.
fn log_address(agent: &AgentAddress) -> Option<AgentAddress> {
    let port = ports::AGENT_LOG;
    match agent {
        AgentAddress::Vsock { cid, .. } => Some(AgentAddress::Vsock { cid: *cid, port }),
        AgentAddress::HybridVsock { dir, name, .. } => {
            Some(AgentAddress::HybridVsock { dir: dir.clone(), name: name.clone(), port })
        }
        AgentAddress::Unix { .. } => None,
    }
}

/// Appends what comes in; what the disk does not take is lost.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: BoundedLog) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut failed = false;
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        match to.append(&piece[..length]) {
            Ok(()) => failed = false,
            Err(_) if failed => {}
            Err(error) => {
                failed = true;
                tracing::warn!(%error, "cannot write what the guest tells");
            }
        }
    }
}
