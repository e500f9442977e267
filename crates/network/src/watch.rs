//! Changes in a network namespace, as rtnetlink announces them to its multicast groups.
//!
//! A change says only that something about links, addresses, routes or neighbours is no longer as it was: look with
//! [`scan`](crate::scan()). Several in quick succession are one, and an overflow of the socket is a change like any
//! other, so none is lost. A namespace whose last process and name are gone cannot be seen here: the socket itself keeps
//! it alive. Whoever watches must know by other means when to stop.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use futures::Stream;
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink},
};
use thiserror::Error;
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, timeout_at},
};

use crate::{Inside, NetNs, NetworkError};

/// How long nothing may happen before a series of changes is over.
const QUIET: Duration = Duration::from_millis(50);
/// How long a series of changes may go on before it is told of nevertheless.
const LONGEST: Duration = Duration::from_millis(500);

/// The multicast groups, as bits: `RTMGRP_LINK`, `RTMGRP_NEIGH`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`,
/// `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE` of `linux/rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400;

/// Why a namespace cannot be watched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It could not be entered.
    #[error("cannot watch the network namespace")]
    Namespace(#[from] NetworkError),
    /// Its netlink socket failed.
    #[error("the netlink socket that watches the network namespace failed")]
    Socket(#[source] io::Error),
}

/// A watch on a namespace. What changes after [`Changes::open`] has returned is told.
#[derive(Debug)]
pub struct Changes {
    socket: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel gives no netlink socket.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub async fn open(ns: &NetNs) -> Result<Self, WatchError> {
        let socket = ns.run(async |_: &Inside| subscribe()).await?;
        let socket = socket.and_then(|socket| virtcontainers_sys::watch(socket, Interest::READABLE));
        socket.map(|socket| Self { socket }).map_err(WatchError::Socket)
    }

    /// Completes when something has changed since the last time, and then nothing more for 50 ms, or for half a second
    /// without a pause. Cancel safe but for the changes of a series that had begun: ask anew and look once more.
    ///
    /// # Errors
    /// When the socket fails; overflow is no failure.
    pub async fn next(&mut self) -> Result<(), WatchError> {
        self.wait().await.map_err(WatchError::Socket)?;
        let end = Instant::now() + LONGEST;
        loop {
            let quiet = end.min(Instant::now() + QUIET);
            match timeout_at(quiet, self.wait()).await {
                Ok(more) => more.map_err(WatchError::Socket)?,
                Err(_elapsed) => return Ok(()),
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// The changes one after the other, until the socket fails.
    pub fn into_stream(self) -> impl Stream<Item = Result<(), WatchError>> + Send {
        futures::stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(()) => Some((Ok(()), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Waits until there are messages, and throws them all away.
    async fn wait(&self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            match drain(ready.get_inner())? {
                Drained::Nothing => ready.clear_ready(),
                Drained::All => {
                    ready.clear_ready();
                    return Ok(());
                }
                Drained::Part => return Ok(()),
            }
        }
    }
}

/// A socket that hears of changes in the namespace of the calling thread.
fn subscribe() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // No protocol is number 0, which is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// What a socket held.
enum Drained {
    Nothing,
    All,
    Part,
}

/// Reads what there is now, within bounds: who writes faster than this reads is met again at the next look.
fn drain(socket: &OwnedFd) -> io::Result<Drained> {
    let mut drained = Drained::Nothing;
    let mut buffer = [0u8; 64];
    for _ in 0..4096 {
        match rustix::net::recv(socket.as_fd(), &mut buffer[..], RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
            Ok(_) | Err(Errno::NOBUFS) => drained = Drained::All,
            Err(Errno::AGAIN) => return Ok(drained),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Drained::Part)
}
