//! The device that carries the agent's stream.

use virtcontainers_types::MachineType;

use super::{Args, Fd, Platform, Props, socket};
use crate::{error::InvalidSpec, qemu::AGENT_PORT, spec::AgentChannel};

/// The port's name in the guest: `/dev/virtio-ports/agent.channel.0`, as the Kata agent looks for it.
const PORT_NAME: &str = "agent.channel.0";

pub(in crate::qemu) fn add(
    args: &mut Args,
    channel: &AgentChannel,
    platform: Platform,
) -> Result<(), InvalidSpec> {
    match channel {
        AgentChannel::None => {}
        AgentChannel::Vsock { cid } => {
            let device = platform.device("vhost-vsock").with("vhostfd", Fd::VhostVsock.number());
            args.props("-device", device.with("guest-cid", cid));
        }
        AgentChannel::VhostUserVsock { socket: name } => {
            if platform.machine == MachineType::S390CcwVirtio {
                return Err(InvalidSpec::MachineLacks {
                    machine: platform.machine,
                    what: "vhost-user-vsock device: use the kernel's vsock or virtio-serial",
                });
            }
            let name = socket("vsock socket", name)?;
            args.props("-chardev", Props::new("socket").with("id", "vsock").with("path", name));
            args.props("-device", platform.device("vhost-user-vsock").with("chardev", "vsock"));
        }
        AgentChannel::VirtioSerial { socket: name } => {
            socket("agent socket", name)?;
            let chardev = Props::new("socket")
                .with("id", AGENT_PORT)
                .with("fd", Fd::AgentPort.number())
                .with("server", "on")
                .with("wait", "off");
            args.props("-chardev", chardev);
            // One port, and port 0 is kept for a console.
            args.props(
                "-device",
                platform.device("virtio-serial").with("id", "serial0").with("max_ports", 2),
            );
            let port =
                Props::new("virtserialport").with("bus", "serial0.0").with("nr", 1).with("id", AGENT_PORT);
            args.props("-device", port.with("chardev", AGENT_PORT).with("name", PORT_NAME));
        }
    }
    Ok(())
}
