//! Parameters on the guest's kernel command line that only our agent reads; kata-agent ignores them.

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
