//! Everything that can be behind an [`Error`](crate::Error). Private: callers ask for the kind.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;
use virtcontainers_agent_client::{AgentError, AgentErrorKind, proxy::ProxyError, shim::ShimError};
use virtcontainers_agent_protocol::transport::TransportError;
use virtcontainers_device::DeviceError;
use virtcontainers_hypervisor::{AcceleratorError, VmError};
use virtcontainers_network::{NetworkError, cni::CniError, hooks::HookError};
use virtcontainers_store::{InjectedFault, ReleaseError, StoreError};
use virtcontainers_sys::spawn::SpawnError;
use virtcontainers_types::{ContainerId, ContainerState, ExecId, HypervisorKind, SandboxId, SandboxState};

use super::ErrorKind;
use crate::config::ConfigError;

#[derive(Debug, Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("sandbox {sandbox} has a container {container} already: choose another id, or delete it first")]
    ContainerExists { sandbox: SandboxId, container: ContainerId },
    #[error("cannot {verb} sandbox {id}, which is {state}{why}: {remedy}")]
    SandboxState {
        id: SandboxId,
        state: SandboxState,
        /// In parentheses, where nobody asked for it.
        why: String,
        verb: &'static str,
        remedy: &'static str,
    },
    #[error("cannot {verb} container {container} of sandbox {sandbox}, which is {state}: {remedy}")]
    ContainerState {
        sandbox: SandboxId,
        container: ContainerId,
        state: ContainerState,
        verb: &'static str,
        remedy: &'static str,
    },
    #[error(
        "nobody saw how container {container} of sandbox {sandbox} ended: wait for a container while it runs to \
         learn its exit code"
    )]
    ExitUnknown { sandbox: SandboxId, container: ContainerId },
    #[error("this runtime has no {0} hypervisor: use qemu, or give the runtime one with Runtime::builder()")]
    NoHypervisor(HypervisorKind),
    #[error(
        "the virtual machine of sandbox {id} ended {when} ({how}): its console and the logs in the sandbox's \
         directory say why; the sandbox can only be deleted"
    )]
    GuestGone { id: SandboxId, how: String, when: &'static str },
    #[error(
        "{role} of sandbox {id} ended {when} ({how}), and its virtual machine cannot do without: delete the sandbox; \
         the end of {}: {said}",
        log.display()
    )]
    HelperGone {
        id: SandboxId,
        role: &'static str,
        how: String,
        when: &'static str,
        log: PathBuf,
        said: String,
    },
    #[error(
        "the agent of sandbox {id} did not answer within {after:?} of boot: the guest's console says how far it \
         came; a longer agent_config.boot_timeout gives a slow guest more time"
    )]
    BootTimeout { id: SandboxId, after: Duration },
    #[error("cannot find {program}: {remedy}")]
    MissingProgram { program: &'static str, remedy: &'static str },
    #[error("{left} resources of sandbox {id} could not be released: delete it to try again")]
    NotReleased { id: SandboxId, left: usize },
    #[error("cannot release {what}: delete it to try again")]
    Release {
        what: String,
        #[source]
        source: ReleaseError,
    },
    #[error("{what} has no annotation {key:?}: its status shows those it has")]
    NoAnnotation { what: String, key: String },
    #[error("the guest of sandbox {id} has no way to {what}: {remedy}")]
    NoStream { id: SandboxId, what: &'static str, remedy: &'static str },
    #[error("cannot get {what} from the guest of sandbox {id}: nobody serves its port {port}")]
    GuestPort {
        id: SandboxId,
        what: &'static str,
        port: u32,
        #[source]
        source: TransportError,
    },
    #[error("container {container} of sandbox {sandbox} has a process {id} already: choose another id")]
    ProcessExists { sandbox: SandboxId, container: ContainerId, id: ExecId },
    #[error("what the ps in container {container} of sandbox {sandbox} says cannot be read: {why}")]
    Listing { sandbox: SandboxId, container: ContainerId, why: String },
    #[error(
        "events come from the records in files, and this runtime has a store of its own: use the default one"
    )]
    NoEvents,
    #[error("this host has no inotify watch left: raise fs.inotify.max_user_watches with sysctl")]
    NoWatches,
    #[error(
        "sandbox {id} has no network: create it with network_config.netns_path, netns_created, cni or prestart_hooks"
    )]
    NoNetwork { id: SandboxId },
    #[error("the machine of sandbox {id} takes no interface while it runs: use the machine type q35 or pc")]
    NoHotplug { id: SandboxId },
    #[error("the network namespace of sandbox {id} has no link {name:?}: make it there first")]
    NoLink { id: SandboxId, name: String },
    #[error(
        "link {name:?} of sandbox {id}'s network namespace cannot be given to a guest: choose another one"
    )]
    UnfitLink { id: SandboxId, name: String },
    #[error(
        "sandbox {id} has no interface {name:?} that was plugged into it: its list of interfaces shows those it has"
    )]
    NoInterface { id: SandboxId, name: String },
    #[error("sandbox {id} has an interface {name:?} already: choose another name, or remove it first")]
    InterfaceExists { id: SandboxId, name: String },
    #[error(
        "{} cannot be removed with the sandbox, for nothing is mounted there: leave netns_created out, or keep the \
         namespace by a bind mount as `ip netns add` does",
        path.display()
    )]
    NotOurs { path: PathBuf },
    #[error("cut off before its end: {0}; the sandbox's status says how far it came")]
    Interrupted(String),
    #[error("cannot {what} {}", path.display())]
    Path {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "control group {}: give virtcontainers another place for its groups (cgroups), or leave limits and cgroups out",
        path.display()
    )]
    Cgroup {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {what}")]
    Host {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Accelerator(#[from] AcceleratorError),
    #[error(transparent)]
    Vm(#[from] VmError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Cni(#[from] CniError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Shim(#[from] ShimError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fault(#[from] InjectedFault),
}

impl Cause {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Accelerator(_) => ErrorKind::InvalidConfig,
            Self::ContainerExists { .. } | Self::ProcessExists { .. } | Self::InterfaceExists { .. } => {
                ErrorKind::AlreadyExists
            }
            Self::NoAnnotation { .. } | Self::NoLink { .. } | Self::NoInterface { .. } => ErrorKind::NotFound,
            Self::UnfitLink { .. } | Self::NotOurs { .. } => ErrorKind::InvalidConfig,
            Self::NoNetwork { .. }
            | Self::NoHotplug { .. }
            | Self::SandboxState { .. }
            | Self::ContainerState { .. }
            | Self::ExitUnknown { .. }
            | Self::NoStream { .. } => ErrorKind::WrongState,
            Self::GuestPort { .. } | Self::Listing { .. } => ErrorKind::Agent,
            Self::NoHypervisor(_) | Self::NoEvents => ErrorKind::NotBuilt,
            Self::GuestGone { .. } | Self::HelperGone { .. } => ErrorKind::Hypervisor,
            Self::BootTimeout { .. } => ErrorKind::Timeout,
            Self::MissingProgram { .. } => ErrorKind::MissingProgram,
            Self::Interrupted(_) | Self::Fault(_) => ErrorKind::Interrupted,
            Self::NotReleased { .. }
            | Self::Release { .. }
            | Self::Path { .. }
            | Self::Cgroup { .. }
            | Self::Host { .. }
            | Self::NoWatches => ErrorKind::Io,
            Self::Vm(error) => of_vm(error),
            Self::Agent(error) => of_agent(error),
            Self::Network(error) => of_network(error),
            Self::Cni(error) => of_cni(error),
            Self::Hook(HookError::TimedOut { .. }) => ErrorKind::Timeout,
            Self::Hook(_) => ErrorKind::Network,
            Self::Spawn(SpawnError::NotFound { .. }) => ErrorKind::MissingProgram,
            Self::Spawn(_) => ErrorKind::Io,
            Self::Proxy(error) => of_proxy(error),
            Self::Shim(error) => of_shim(error),
            Self::Device(error) => of_device(error),
            Self::Store(error) => of_store(error),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_vm(error: &VmError) -> ErrorKind {
    match error {
        VmError::Invalid(_) => ErrorKind::InvalidConfig,
        VmError::NotFound { .. } => ErrorKind::MissingProgram,
        VmError::Timeout { .. } => ErrorKind::Timeout,
        _ => ErrorKind::Hypervisor,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_network(error: &NetworkError) -> ErrorKind {
    match error {
        NetworkError::NotANamespace { .. }
        | NetworkError::ModelCannotServe { .. }
        | NetworkError::UnsupportedLink { .. }
        | NetworkError::Queues { .. } => ErrorKind::InvalidConfig,
        _ => ErrorKind::Network,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_cni(error: &CniError) -> ErrorKind {
    match error {
        CniError::NoNetwork { .. }
        | CniError::BadConf { .. }
        | CniError::BadAttachment { .. }
        | CniError::NoCapability { .. } => ErrorKind::InvalidConfig,
        CniError::NoPlugin { .. } => ErrorKind::MissingProgram,
        _ => ErrorKind::Network,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_agent(error: &AgentError) -> ErrorKind {
    // A call that runs a command names what it is to run in: what is not found then is the command.
    let runs = matches!(error, AgentError::Rpc { method: "CreateContainer" | "ExecProcess", .. });
    match error.kind() {
        AgentErrorKind::NotFound if runs => ErrorKind::CommandNotFound,
        AgentErrorKind::PermissionDenied if runs => ErrorKind::CommandNotExecutable,
        AgentErrorKind::Timeout => ErrorKind::Timeout,
        AgentErrorKind::NotFound => ErrorKind::NotFound,
        AgentErrorKind::Unimplemented => ErrorKind::NotBuilt,
        _ => ErrorKind::Agent,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_proxy(error: &ProxyError) -> ErrorKind {
    match error {
        ProxyError::Mismatch { .. } => ErrorKind::InvalidConfig,
        ProxyError::Spawn(SpawnError::NotFound { .. }) => ErrorKind::MissingProgram,
        _ => ErrorKind::Io,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_shim(error: &ShimError) -> ErrorKind {
    match error {
        ShimError::Spawn(SpawnError::NotFound { .. }) => ErrorKind::MissingProgram,
        ShimError::NoShim { .. } => ErrorKind::WrongState,
        ShimError::Agent(error) => of_agent(error),
        ShimError::Late { .. } => ErrorKind::Timeout,
        ShimError::NotReady { .. } | ShimError::Detached { .. } => ErrorKind::Agent,
        _ => ErrorKind::Io,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_device(error: &DeviceError) -> ErrorKind {
    match error {
        DeviceError::NotInstalled { .. } => ErrorKind::MissingProgram,
        DeviceError::NoSuchProgram { .. }
        | DeviceError::RefusedArgument { .. }
        | DeviceError::WrongSource { .. } => ErrorKind::InvalidConfig,
        _ => ErrorKind::Io,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever this error comes to name is of the last kind")]
fn of_store(error: &StoreError) -> ErrorKind {
    match error {
        StoreError::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        StoreError::NotFound { .. } | StoreError::NoContainer { .. } => ErrorKind::NotFound,
        StoreError::Busy { .. } => ErrorKind::Busy,
        _ => ErrorKind::Storage,
    }
}
