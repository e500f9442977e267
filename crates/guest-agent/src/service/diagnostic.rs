//! `GetDiagnosticData`: what explains afterwards why something ended.
//!
//! | `log_type` | what |
//! |---|---|
//! | `termination_log` | what a container has left in its Kubernetes termination message file (kata-agent's only type) |
//! | `agent_log` | the agent's log, as far as it is kept |
//! | `kernel_log` | the end of the kernel's log |

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use oci_spec::runtime::Spec;
use rustix::fs::OFlags;
use virtcontainers_agent_protocol::api::agent::{GetDiagnosticDataRequest, GetDiagnosticDataResponse};

use super::blocking;
use crate::{agent::Agent, container::Container, error::CallError, log};

/// Names the file, as it is called inside of the container.
const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";

/// What Kubernetes takes of it.
const MAX_TERMINATION: u64 = 4096;

/// Bytes of the kernel's log that are answered.
pub(crate) const MAX_KERNEL_LOG: usize = 256 * 1024;

/// Records that are read of it: more come only while somebody writes them.
const MAX_RECORDS: usize = 100_000;

/// The longest record of `/dev/kmsg`.
const MAX_RECORD: usize = 8192;

pub(super) async fn get(
    agent: &Arc<Agent>,
    request: GetDiagnosticDataRequest,
) -> Result<GetDiagnosticDataResponse, CallError> {
    let data = match request.log_type.as_str() {
        "termination_log" => termination(agent, agent.container(&request.container_id)?).await?,
        "agent_log" => log::ring().text(),
        "kernel_log" => blocking(kernel_log).await.map_err(CallError::io("read", "/dev/kmsg"))?,
        other => {
            let other: String = other.chars().take(64).collect();
            let reason = format!("`{other}` is none of termination_log, agent_log, kernel_log");
            return Err(CallError::Invalid { field: "log_type", reason });
        }
    };
    Ok(GetDiagnosticDataResponse { data, ..Default::default() })
}

async fn termination(agent: &Arc<Agent>, container: Arc<Container>) -> Result<String, CallError> {
    let config = agent.settings().bundle(container.id()).join("config.json");
    let shown = config.clone();
    let spec = blocking(move || Ok(Spec::load(config))).await.map_err(CallError::io("read", &shown))?;
    let spec = spec.map_err(|error| CallError::io("read", &shown)(io::Error::other(error)))?;
    let path = termination_source(&spec)?;
    let shown = path.clone();
    match blocking(move || read_start(&path)).await {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(CallError::io("read", shown)(error)),
    }
}

/// Where the guest sees the container's termination message file.
pub(crate) fn termination_source(spec: &Spec) -> Result<PathBuf, CallError> {
    let none = |reason: String| CallError::Invalid { field: "container_id", reason };
    let annotations = spec.annotations().as_ref();
    let inside = annotations
        .and_then(|annotations| annotations.get(TERMINATION_PATH))
        .ok_or_else(|| none(format!("the container has no annotation {TERMINATION_PATH}")))?;
    let mut mounts = spec.mounts().iter().flatten();
    let mount = mounts.find(|mount| mount.destination() == Path::new(inside));
    let source = mount.and_then(|mount| mount.source().clone());
    source.ok_or_else(|| none(format!("the container has no mount at `{inside}`")))
}

fn read_start(path: &Path) -> io::Result<String> {
    // A workload may have put anything in the file's place.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    file.take(MAX_TERMINATION).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Each read gives one record; one that was lost to newer ones gives an error of its own (`EPIPE`).
fn kernel_log() -> io::Result<String> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let mut device = File::options().read(true).custom_flags(flags).open("/dev/kmsg")?;
    let mut text = String::new();
    let mut record = vec![0; MAX_RECORD];
    for _ in 0..MAX_RECORDS {
        match device.read(&mut record) {
            Ok(0) => break,
            Ok(count) => text.push_str(&String::from_utf8_lossy(&record[..count])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
        if text.len() > 2 * MAX_KERNEL_LOG {
            shorten(&mut text);
        }
    }
    shorten(&mut text);
    Ok(text)
}

/// Leaves whole lines of the end.
pub(crate) fn shorten(text: &mut String) {
    if text.len() > MAX_KERNEL_LOG {
        let from = text.len() - MAX_KERNEL_LOG;
        let line = text.as_bytes()[from..].iter().position(|byte| *byte == b'\n');
        text.drain(..line.map_or(text.len(), |line| from + line + 1));
    }
}
