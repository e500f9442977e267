//! A link whose packets another process serves, over virtio queues in memory that it shares with the VMM (DPDK, VPP).
//!
//! Such a process and its socket are the caller's; nothing is made here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Attached, Backend, Properties};
use crate::Link;

/// A process that serves virtio queues for a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostUser {
    /// The link that stands for it.
    #[serde(flatten)]
    pub properties: Properties,
    /// Where it listens.
    pub socket: PathBuf,
    /// Queue pairs.
    pub queues: u32,
}

impl VhostUser {
    pub(super) fn attach(&self) -> Attached {
        Attached { backend: Backend::VhostUser { socket: self.socket.clone() } }
    }
}

/// The socket that belongs to a link by the reference implementation's convention: `<dir>/vhostuser_<address>/vhu.sock`, of the
/// first of its addresses that has one. There, `dir` is `/tmp`: give a directory in which only trusted users may write.
#[must_use]
pub fn socket_of(link: &Link, dir: &Path) -> Option<PathBuf> {
    let mut sockets =
        link.addresses.iter().map(|net| dir.join(format!("vhostuser_{}", net.addr())).join("vhu.sock"));
    sockets.find(|socket| socket.exists())
}
