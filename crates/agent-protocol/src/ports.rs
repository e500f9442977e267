//! Where the agent is reached and where it reports.

/// The vsock port on which the agent serves ttrpc.
pub const AGENT: u32 = 1024;

/// The context id of the host as seen from every guest (`VMADDR_CID_HOST` of vsock(7)).
pub const HOST_CID: u32 = 2;

/// The virtio-serial port that carries the agent's yamux session where there is no vsock. Opening it is the
/// agent's announcement.
pub const SERIAL_PORT_NAME: &str = "agent.channel.0";

/// What the agent writes on its connection to the announcement port once it listens; it then keeps the connection
/// open until the host closes it. The port is given by [`crate::kernel_parameters::ANNOUNCE`].
pub const ANNOUNCEMENT: &[u8] = b"ready\n";
