//! Where the agent is reached and where it reports.

/// The vsock port on which the agent serves ttrpc.
pub const AGENT: u32 = 1024;

/// The vsock port on which the agent gives its log to whoever connects: JSON lines, the latest ones there are
/// and then what follows. [`crate::kernel_parameters::KATA_LOG_PORT`] may name another.
pub const AGENT_LOG: u32 = 1025;

/// The vsock port on which each connection gets a shell of the guest, if the kernel parameter
/// [`crate::kernel_parameters::DEBUG_CONSOLE`] is there. [`crate::kernel_parameters::KATA_DEBUG_CONSOLE_PORT`] may name
/// another.
pub const DEBUG_CONSOLE: u32 = 1026;

/// The context id of the host as seen from every guest (`VMADDR_CID_HOST` of vsock(7)).
pub const HOST_CID: u32 = 2;

/// The virtio-serial port that carries the agent's yamux session where there is no vsock. Opening it is the
/// agent's announcement.
pub const SERIAL_PORT_NAME: &str = "agent.channel.0";

/// What the agent writes on its connection to the announcement port once it listens; it then keeps the connection
/// open until the host closes it. The port is given by [`crate::kernel_parameters::ANNOUNCE`].
pub const ANNOUNCEMENT: &[u8] = b"ready\n";
