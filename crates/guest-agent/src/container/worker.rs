//! The launching process: it has one thread, never runs the agent's runtime, and forks for each request.
//!
//! Its standard input is the socket to the agent, whose children the forked processes are. What is asked for is done in
//! them, so that nothing of one launch is left for the next; for the way into a running container see [`super::enter`].

use std::{
    error::Error,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use libcontainer::{
    container::builder::ContainerBuilder,
    error::LibcontainerError,
    syscall::syscall::SyscallType,
    workload::{self, Executor, ExecutorError, ExecutorValidationError},
};
use oci_spec::runtime::Spec;
use rustix::process::DumpableBehavior;

use super::{
    enter,
    launch::{self, Enter, Reply, Request},
};
use crate::sys::{
    fork::{self, Side},
    limits, namespace,
};

/// Serves requests until the agent is gone.
#[must_use]
pub fn main() -> ExitCode {
    // A process on its way into a container must not be looked into by those who are there already.
    if rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        return ExitCode::FAILURE;
    }
    // Workloads have limits of their own, or the usual ones.
    limits::hold_few_descriptors().ok();
    let agent = io::stdin();
    loop {
        match launch::receive::<Request>(agent.as_fd()) {
            Ok(Some((request, fds))) => {
                if let Some(code) = serve(request, fds) {
                    return code;
                }
            }
            Ok(None) => return ExitCode::SUCCESS,
            Err(_garbled) => return ExitCode::FAILURE,
        }
    }
}

/// Forks for a request; the exit code of the child, on its side.
fn serve(request: Request, fds: Vec<OwnedFd>) -> Option<ExitCode> {
    let mut fds = fds.into_iter();
    let answers = fds.next()?;
    let task = match Task::new(request, fds) {
        Ok(task) => task,
        Err(reason) => return say(&answers, Reply::Failed(reason)),
    };
    match task.fork() {
        Ok(Side::Child) => {
            let reply = task.perform();
            // The agent may be gone; then nobody wants to know.
            launch::answer(&answers, &reply).ok();
            Some(match reply {
                Reply::Forked { .. } | Reply::Created { .. } => ExitCode::SUCCESS,
                Reply::Refused(_) | Reply::Failed(_) | Reply::Stopped(_) => ExitCode::FAILURE,
            })
        }
        Ok(Side::Parent { child }) => say(&answers, Reply::Forked { pid: child }),
        Err(error) => say(&answers, Reply::Failed(format!("could not fork: {error}"))),
    }
}

/// Answers in the launching process, which goes on whether it is heard or not.
fn say(answers: &OwnedFd, reply: Reply) -> Option<ExitCode> {
    launch::answer(answers, &reply).ok();
    None
}

/// A request with its descriptors.
enum Task {
    Create {
        id: String,
        bundle: PathBuf,
        states: PathBuf,
        console: Option<PathBuf>,
        pivot: bool,
        stdio: Vec<OwnedFd>,
    },
    Enter {
        enter: Box<Enter>,
        init: OwnedFd,
        cgroup: OwnedFd,
        stdio: Vec<OwnedFd>,
    },
}

impl Task {
    fn new(request: Request, mut fds: impl Iterator<Item = OwnedFd>) -> Result<Self, String> {
        match request {
            Request::Create { id, bundle, states, console, pivot } => {
                Ok(Self::Create { id, bundle, states, console, pivot, stdio: fds.collect() })
            }
            Request::Enter(enter) => match (fds.next(), fds.next()) {
                (Some(init), Some(cgroup)) => Ok(Self::Enter { enter, init, cgroup, stdio: fds.collect() }),
                (_, _) => Err("the request came without the container".to_owned()),
            },
        }
    }

    fn fork(&self) -> io::Result<Side> {
        match self {
            Self::Create { .. } => {
                namespace::bear_children_here()?;
                fork::sibling(None)
            }
            Self::Enter { init, cgroup, .. } => {
                namespace::bear_children_in(init.as_fd())?;
                fork::sibling(Some(cgroup.as_fd()))
            }
        }
    }

    /// Does it, in the child. A process that enters a container does not come back when all goes well.
    fn perform(self) -> Reply {
        match self {
            Self::Create { id, bundle, states, console, pivot, stdio } => {
                let built = builder(&id, &states, console, stdio).and_then(|builder| {
                    builder
                        .as_init(bundle)
                        .with_systemd(false)
                        .with_detach(true)
                        .with_no_pivot(!pivot)
                        .build()
                });
                match built.map(|container| container.pid()) {
                    Ok(Some(pid)) => Reply::Created { pid: pid.as_raw().cast_unsigned() },
                    Ok(None) => Reply::Failed("the created process has no pid".to_owned()),
                    Err(error) if is_refusal(&error) => Reply::Refused(chain(&error)),
                    Err(error) => Reply::Failed(chain(&error)),
                }
            }
            Self::Enter { enter, init, stdio, .. } => match enter::enter(&enter, &init, &stdio) {
                Err(stopped) => Reply::Stopped(stopped),
            },
        }
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
        .with_executor(Program)
        .with_root_path(states)?
        .with_console_socket(console);
    let mut stdio = stdio.into_iter();
    if let (Some(stdin), Some(stdout), Some(stderr)) = (stdio.next(), stdio.next(), stdio.next()) {
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
    }
    Ok(builder)
}

/// How `libcontainer` becomes the program: as processes do that enter later. Its own way leaves broken pipes ignored.
#[derive(Debug, Clone, Copy)]
struct Program;

impl Executor for Program {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        Err(ExecutorError::Execution(enter::execute(process).into()))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        workload::default::get_executor().validate(spec)
    }
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
