//! Parameters on the guest's kernel command line. Those that begin with `vc.` only our agent reads, kata-agent ignores
//! them; those that begin with `agent.` are kata-agent's, and ours understands them too.

/// How the agent is reached: [`TRANSPORT_VSOCK`] or [`TRANSPORT_SERIAL`].
pub const TRANSPORT: &str = "vc.transport";

/// Value of [`TRANSPORT`]: the agent listens on vsock port [`crate::ports::AGENT`].
pub const TRANSPORT_VSOCK: &str = "vsock";

/// Value of [`TRANSPORT`]: yamux over the port [`crate::ports::SERIAL_PORT_NAME`].
pub const TRANSPORT_SERIAL: &str = "serial";

/// The host's vsock port to which the agent announces that it listens, in decimal.
pub const ANNOUNCE: &str = "vc.announce";

/// Present: the agent logs more on the console.
pub const DEBUG: &str = "vc.debug";

/// Present: each connection to vsock port [`crate::ports::DEBUG_CONSOLE`] gets a shell of the guest.
pub const DEBUG_CONSOLE: &str = "vc.debug_console";

/// As [`DEBUG_CONSOLE`], in kata-agent's words.
pub const KATA_DEBUG_CONSOLE: &str = "agent.debug_console";

/// The vsock port of the debug console, in decimal.
pub const KATA_DEBUG_CONSOLE_PORT: &str = "agent.debug_console_vport";

/// The level from which on the agent logs: `error`, `warn`, `info`, `debug` or `trace`.
pub const KATA_LOG: &str = "agent.log";

/// The vsock port of the agent's log, in decimal.
pub const KATA_LOG_PORT: &str = "agent.log_vport";

/// The size of the pipes of a container's processes, in bytes, in decimal.
pub const KATA_CONTAINER_PIPE_SIZE: &str = "agent.container_pipe_size";
