//! A virtio-vsock device for one guest, as a process beside the VMM (vhost-user): for hosts without `/dev/vhost-vsock`.
//!
//! A host program connects to a Unix socket, writes `CONNECT <port>` and a line feed, reads `OK <its port>`, and has a
//! connection to the guest's port. A connection that the guest opens to the host's port `P` arrives at the Unix socket
//! `<base>_P`. This is the protocol of Firecracker and Cloud Hypervisor.
//!
//! [`VsockDevice::run`] is all there is: one thread, which ends with the VMM. Both listening sockets are the caller's,
//! so that nobody waits for them to appear, and a program may connect before the guest, or even the VMM, is there: its
//! greeting waits. A machine may be paused and resumed at any moment with data under way in both directions.
//!
//! The guest is hostile: what it sends is checked and bounded, it may reach no other socket than those of its own
//! name, and the most it can do to the device is to lose its connections.

mod connection;
mod device;
mod event;
mod frontend;
mod muxer;
mod packet;
mod ring;

pub use event::{VsockDevice, VsockDeviceError, run_inherited};
