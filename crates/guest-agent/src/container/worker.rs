//! The worker's side of a launch: a single-threaded process that does one thing with `libcontainer` and ends.
//!
//! It never runs the agent's runtime. Its standard input is the socket to the agent; `libcontainer` replaces it in
//! the workload, so the socket closes with the worker.

use std::{
    error::Error,
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use libcontainer::{
    container::builder::ContainerBuilder, error::LibcontainerError, syscall::syscall::SyscallType,
};
use rustix::fs::MemfdFlags;

use super::launch::{MAX_MESSAGE, Reply, Request};
use crate::sys::passing;

/// Reads the request from standard input, does it and answers there.
#[must_use]
pub fn main() -> ExitCode {
    let socket = io::stdin();
    let reply = match receive(&socket) {
        Ok((request, stdio)) => perform(request, stdio),
        Err(error) => Reply::Failed(format!("the request could not be read: {error}")),
    };
    match answer(&socket, &reply) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_agent_gone) => ExitCode::FAILURE,
    }
}

fn receive(socket: &io::Stdin) -> io::Result<(Request, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let (read, stdio) = passing::receive(socket.as_fd(), &mut length)?;
    if read < length.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match rustix::io::read(socket.as_fd(), &mut message[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok((serde_json::from_slice(&message)?, stdio))
}

fn answer(socket: &io::Stdin, reply: &Reply) -> io::Result<()> {
    let message = serde_json::to_vec(reply)?;
    let mut framed = u32::try_from(message.len()).map_err(io::Error::other)?.to_le_bytes().to_vec();
    framed.extend_from_slice(&message);
    passing::send(socket.as_fd(), &framed, &[])
}

fn perform(request: Request, stdio: Vec<OwnedFd>) -> Reply {
    let launched = match request {
        Request::Create { id, bundle, states, console, pivot } => builder(&id, &states, console, stdio)
            .and_then(|builder| {
                let container = builder
                    .as_init(bundle)
                    .with_systemd(false)
                    .with_detach(true)
                    .with_no_pivot(!pivot)
                    .build()?;
                Ok(container.pid().map(|pid| pid.as_raw()))
            }),
        Request::Exec { id, states, console, process } => {
            let described = match describe(&process) {
                Ok(described) => described,
                Err(error) => return Reply::Failed(format!("the process could not be described: {error}")),
            };
            builder(&id, &states, console, stdio).and_then(|builder| {
                let pid =
                    builder.as_tenant().with_detach(true).with_process(Some(&described.path)).build()?;
                Ok(Some(pid.as_raw()))
            })
        }
    };
    match launched {
        Ok(Some(pid)) => Reply::Launched { pid: pid.cast_unsigned() },
        Ok(None) => Reply::Failed("the launched process has no pid".to_owned()),
        Err(error) if is_refusal(&error) => Reply::Refused(chain(&error)),
        Err(error) => Reply::Failed(chain(&error)),
    }
}

/// Whether the request was at fault.
fn is_refusal(error: &LibcontainerError) -> bool {
    matches!(
        error,
        LibcontainerError::InvalidSpec(_)
            | LibcontainerError::MissingSpec(_)
            | LibcontainerError::Spec(_)
            | LibcontainerError::InvalidID(_)
            | LibcontainerError::InvalidInput(_)
    )
}

fn builder(
    id: &str,
    states: &Path,
    console: Option<PathBuf>,
    stdio: Vec<OwnedFd>,
) -> Result<ContainerBuilder, LibcontainerError> {
    let mut builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(states)?
        .with_console_socket(console);
    let mut stdio = stdio.into_iter();
    if let (Some(stdin), Some(stdout), Some(stderr)) = (stdio.next(), stdio.next(), stdio.next()) {
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
    }
    Ok(builder)
}

/// A process description as `libcontainer` wants it: a file. Here one without a name.
struct Described {
    path: PathBuf,
    _file: std::fs::File,
}

fn describe(process: &oci_spec::runtime::Process) -> io::Result<Described> {
    use std::os::fd::AsRawFd as _;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("process.json", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(process)?)?;
    Ok(Described { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), _file: file })
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
