//! What a sandbox needs on the host beside its VMM: the shared directory tree and the daemons that serve the guest.
//!
//! - [`Share`] builds the tree that the guest sees, from bind mounts below the sandbox's directory.
//! - [`virtiofsd`] exports that tree over virtio-fs, [`vhost_vsock`] serves the guest's vsock where the kernel cannot.
//! - A [`Daemon`] is told by a [`DaemonRecord`] while it is known, and by its mark when no record of it was written.
//!
//! Everything here is taken apart by functions that may be called again and again, from a record alone.

mod daemon;
mod error;
mod program;
mod shared_fs;

pub mod vhost_vsock;

pub use daemon::{Daemon, DaemonRecord, DaemonRole, STOP_GRACE, log_tail, stop, stop_marked};
pub use error::DeviceError;
pub use program::Program;
pub use shared_fs::{
    share::{Access, Share, ShareResource, Shared},
    virtiofsd,
};
