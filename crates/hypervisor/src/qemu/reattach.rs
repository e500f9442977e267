//! Taking over a QEMU process that another process launched.

use qapi::qmp;
use tokio::{net::UnixStream, sync::Mutex};
use virtcontainers_sys::unix;
use virtcontainers_types::HypervisorKind;

use super::machine::{Exit, Heard, Machine, read_console};
use crate::{
    console::ConsoleTail,
    error::VmError,
    spec::AgentChannel,
    vm::{VmExit, VmRecord},
};

/// Reattaches. The process is told from any other by pid and start time; its console, if nobody else reads it, comes in
/// from now on.
pub(super) async fn reattach(record: &VmRecord) -> Result<Machine, VmError> {
    let foreign = |why: &str| VmError::ForeignRecord {
        dir: record.dir.clone(),
        expected: HypervisorKind::Qemu.as_str(),
        why: why.to_owned(),
    };
    if record.hypervisor != HypervisorKind::Qemu {
        return Err(foreign("it names another VMM"));
    }
    let process = record.process.ok_or_else(|| foreign("it names no process"))?;
    let gone = || VmError::Gone { process: Some(process) };
    let failed = |error| VmError::io("look at", format!("/proc/{}", process.pid))(error);
    let held = process.open().map_err(failed)?.ok_or_else(gone)?;
    if held.has_exited().map_err(failed)? {
        return Err(gone());
    }
    let console = ConsoleTail::new();
    let stream = unix::connect_in(&record.dir, super::CONSOLE_SOCKET).and_then(UnixStream::from_std);
    let stream = stream.inspect_err(|error| tracing::debug!(%error, "the console stays unread")).ok();
    let reader = read_console(stream, console.clone(), &record.dir);
    let wait = async move { held.exited().await.map(|()| VmExit { code: None, signal: None }) };
    let exit = Exit::watch(wait, reader);
    let heard = Heard::default();
    let machine = Machine {
        record: record.clone(),
        process,
        monitor: None,
        exit,
        heard,
        console,
        plugging: Mutex::default(),
    };
    match &record.channel {
        AgentChannel::VirtioSerial { .. } => {
            let devices = machine.execute(qmp::query_chardev {}).await?;
            let open = devices.iter().any(|device| device.label == super::AGENT_PORT && device.frontend_open);
            machine.heard.port.send_replace(open);
        }
        AgentChannel::None | AgentChannel::Vsock { .. } | AgentChannel::VhostUserVsock { .. } => {}
    }
    Ok(machine)
}
