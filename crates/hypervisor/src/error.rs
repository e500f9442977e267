//! What can go wrong with a virtual machine.

use std::{fmt, io, path::PathBuf, time::Duration};

use thiserror::Error;
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::{MachineType, VcpuCount};

use crate::vm::VmExit;

/// A virtual machine that was not made, or did not do what it was told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VmError {
    /// The spec is not one that this VMM can build.
    #[error("this virtual machine cannot be built: {0}")]
    Invalid(#[from] InvalidSpec),
    /// The VMM is not installed.
    #[error("no program {}: {hint}", program.display())]
    NotFound {
        /// The program looked for.
        program: PathBuf,
        /// What to install, or which setting to change.
        hint: String,
    },
    /// The VMM could not be started.
    #[error("cannot start {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The caller could not put the new process on record, so it was ended again.
    #[error("the process of {} was ended again, because it could not be put on record", program.display())]
    NotRecorded {
        /// The program.
        program: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The VMM ended before the guest ran.
    #[error(
        "{} exited before the guest ran ({exit}); it said: {}{}",
        program.display(), or_nothing(stderr), console_tail(console)
    )]
    ExitedEarly {
        /// The program.
        program: PathBuf,
        /// How it ended.
        exit: VmExit,
        /// The end of what it wrote to its standard error.
        stderr: String,
        /// The last lines of the guest's console.
        console: Vec<String>,
    },
    /// The VMM refused a command.
    #[error("the VMM refused {command}: {desc} ({class})")]
    Qmp {
        /// The QMP command.
        command: &'static str,
        /// QMP's error class.
        class: String,
        /// QMP's description.
        desc: String,
    },
    /// The control socket broke, or carried what is not QMP.
    #[error("lost the VMM's control socket while waiting for {waiting_for}")]
    Control {
        /// What was awaited.
        waiting_for: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Something took too long.
    #[error("{waiting_for} took longer than {after:?}{}", console_tail(console))]
    Timeout {
        /// What was awaited.
        waiting_for: String,
        /// The bound.
        after: Duration,
        /// The last lines of the guest's console.
        console: Vec<String>,
    },
    /// The caller's descriptors are not those that the plan speaks of.
    #[error("network interface {id}: {expected} descriptors of {what} belong to it, {given} were given")]
    NicFds {
        /// The interface.
        id: String,
        /// Taps or vhost-net.
        what: &'static str,
        /// How many the plan speaks of.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// A network interface of that id is there already.
    #[error("the machine has a network interface {id} already: remove it first, or give another id")]
    DuplicateNic {
        /// The interface.
        id: String,
    },
    /// All slots are taken.
    #[error(
        "no free slot for {device}: all {slots} are taken; remove a device, or create the sandbox with more"
    )]
    NoFreeSlot {
        /// What was to be plugged.
        device: String,
        /// How many slots there are.
        slots: usize,
    },
    /// The guest keeps a device that it was asked to give up.
    #[error(
        "the guest did not let go of {device} within {after:?}{}: it may be paused, or not have booted far enough; try \
         again",
        why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    NotReleased {
        /// The device.
        device: String,
        /// The bound.
        after: Duration,
        /// What guest or VMM said, if they said anything.
        why: Option<String>,
    },
    /// The VMM's process has ended.
    #[error("the VMM is gone{}: the machine can only be deleted", pid_of(process))]
    Gone {
        /// The process that it was, for machines that have one.
        process: Option<ProcessRef>,
    },
    /// A record of another VMM, or one that lacks what this VMM needs.
    #[error("the record in {} is not one of {expected}: {why}", dir.display())]
    ForeignRecord {
        /// The sandbox's directory.
        dir: PathBuf,
        /// The driver that was asked.
        expected: &'static str,
        /// What does not fit.
        why: String,
    },
    /// A file, socket or process of the host.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A failure that a test asked the mock for.
    #[error("the mock fails at {step}, as told: {message}")]
    Injected {
        /// The step.
        step: &'static str,
        /// The message that the test gave.
        message: String,
    },
}

impl VmError {
    /// For `map_err`: an [`VmError::Io`] at a path.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// What does not fit in a [`crate::VmSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// The machine cannot do without something.
    #[error("machine type {machine} needs {what}")]
    MachineNeeds {
        /// The machine type.
        machine: MachineType,
        /// What it needs, and where it comes from.
        what: &'static str,
    },
    /// The machine cannot have something.
    #[error("machine type {machine} has no {what}")]
    MachineLacks {
        /// The machine type.
        machine: MachineType,
        /// What it lacks, and what to use instead.
        what: &'static str,
    },
    /// A device whose process maps the guest's memory, and memory that it cannot map.
    #[error("{device} needs shared memory: set memory.shared")]
    MemoryNotShared {
        /// The device.
        device: &'static str,
    },
    /// No memory.
    #[error("0 MiB of memory: a virtual machine needs some")]
    NoMemory,
    /// Fewer vCPUs allowed than asked for.
    #[error("at most {max} vCPUs, but {vcpus} at boot")]
    TooManyVcpus {
        /// At boot.
        vcpus: VcpuCount,
        /// The most.
        max: VcpuCount,
    },
    /// A kernel parameter that the kernel would read as something else.
    #[error("kernel parameter {param:?}: {why}")]
    KernelParam {
        /// The parameter.
        param: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A VMM parameter that is not one.
    #[error("VMM parameter {param:?}: {why}")]
    ExtraParam {
        /// The parameter.
        param: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A text or path that no argument can carry.
    #[error("{what} {text:?}: {why}")]
    Text {
        /// The field.
        what: &'static str,
        /// Its value, with what is not UTF-8 replaced.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A network interface that no VMM can have.
    #[error("network interface {id:?}: {why}")]
    Nic {
        /// Its id.
        id: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Two network interfaces of one id.
    #[error("two network interfaces with the id {0:?}")]
    DuplicateNic(String),
    /// More devices than slots.
    #[error("{wanted} network interfaces and hotplug slots, but machine type {machine} has room for {most}")]
    TooManyNics {
        /// The machine type.
        machine: MachineType,
        /// How many were asked for.
        wanted: usize,
        /// How many it has room for.
        most: usize,
    },
    /// Two shares of one tag.
    #[error("two shares with the tag {0:?}")]
    DuplicateTag(String),
    /// A guest's context id that vsock reserves.
    #[error("context id {0}: use 3 or more, the lower ones are reserved by vsock")]
    ReservedCid(u32),
}

impl fmt::Display for VmExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("exit status not known"),
        }
    }
}

fn or_nothing(text: &str) -> &str {
    match text.trim() {
        "" => "nothing",
        said => said,
    }
}

fn console_tail(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        lines => format!("; the guest's console ends with:\n{}", lines.join("\n")),
    }
}

fn pid_of(process: &Option<ProcessRef>) -> String {
    process.map(|process| format!(" (it was process {})", process.pid)).unwrap_or_default()
}
