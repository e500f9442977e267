//! Agent, proxy and shim: how the library and the guest speak.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::is_default;

/// A time span in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u32);

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Self::from_secs(seconds.0.into())
    }
}

/// Settings of an agent that speaks the Kata agent protocol (the reference document's `KataAgentConfig`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KataAgentConfig {
    /// A handle keeps its connection to the agent between calls. `false` dials anew for each call.
    pub long_live_conn: bool,
    /// The stream must be a vsock, the kernel's or a hybrid one, never virtio-serial. `false` demands nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub use_vsock: bool,
    /// More of the agent's log on the guest's console.
    #[serde(skip_serializing_if = "is_default")]
    pub debug: bool,
    /// Tracing in the agent. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub trace: bool,
    /// Size of the pipes of a container's processes, in bytes; zero leaves the agent's. At most 1 GiB: the guest's kernel
    /// rounds it up to a power of two, and an agent takes it for a wish.
    #[serde(skip_serializing_if = "is_default")]
    pub container_pipe_size: u32,
    /// Tracing mode. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub trace_mode: Option<String>,
    /// Tracing type. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub trace_type: Option<String>,
    /// Each connection to the guest's debug port gets a shell there, outside of all containers: see
    /// [`Sandbox::console_shell`](crate::Sandbox::console_shell). Whoever may connect to the sandbox's sockets is root in
    /// the guest, so it is for debugging. Needs a vsock transport. (Beyond the reference document.)
    #[serde(skip_serializing_if = "is_default")]
    pub debug_console: bool,
    /// Kernel modules that the agent loads before it makes the sandbox, each with its parameters:
    /// `name key=value key=value`.
    #[serde(skip_serializing_if = "is_default")]
    pub kernel_modules: Vec<String>,
    /// The agent announces itself when it is ready, as `vc-agent` does. `false` for agents that do not, such as the
    /// kata-agent: they are dialled again and again. (Beyond the reference document.)
    pub announces: bool,
    /// How long a guest may take from its first instruction until its agent answers.
    pub boot_timeout: Seconds,
}

impl Default for KataAgentConfig {
    fn default() -> Self {
        Self {
            long_live_conn: true,
            use_vsock: false,
            debug: false,
            trace: false,
            container_pipe_size: 0,
            trace_mode: None,
            trace_type: None,
            debug_console: false,
            kernel_modules: Vec::new(),
            announces: true,
            boot_timeout: Seconds(60),
        }
    }
}

/// The process that multiplexes a virtio-serial port (the reference document's `ProxyConfig`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Its program, called as `<program> proxy …`; without one, the runtime's helper program.
    #[serde(skip_serializing_if = "is_default")]
    pub path: Option<PathBuf>,
    /// More of its log. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub debug: bool,
}

/// The process that stands on the host for one in the guest (the reference document's `ShimConfig`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShimConfig {
    /// Its program, called as `<program> shim`; without one, the runtime's helper program.
    #[serde(skip_serializing_if = "is_default")]
    pub path: Option<PathBuf>,
    /// More of its log. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub debug: bool,
    /// Tracing in the shim. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub trace: bool,
}
