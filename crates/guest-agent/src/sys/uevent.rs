//! The kernel's announcements of devices (netlink family `KOBJECT_UEVENT`) and of network links.

use std::{io, os::fd::OwnedFd};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, netlink};
use tokio::io::{Interest, unix::AsyncFd};

use super::watch::watch;

/// A subscription: what happens after [`Uevents::open`] is not missed.
#[derive(Debug)]
pub struct Uevents {
    socket: AsyncFd<OwnedFd>,
}

impl Uevents {
    /// Subscribes. Call it inside a runtime.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> io::Result<Self> {
        Self::subscribe(Some(netlink::KOBJECT_UEVENT), 1)
    }

    /// Subscribes to what becomes of network links, in the network namespace of the caller. The kernel tells of a new one
    /// once it can be used, which is after the uevent of its device.
    ///
    /// # Errors
    /// As [`Uevents::open`].
    pub fn of_links() -> io::Result<Self> {
        Self::subscribe(None, libc::RTMGRP_LINK.cast_unsigned())
    }

    fn subscribe(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket: watch(socket, Interest::READABLE)? })
    }

    /// Waits for the next event, whatever it is. An overflow of the kernel's queue counts as one.
    ///
    /// # Errors
    /// As recv(2).
    pub async fn next(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|fd| Ok(rustix::net::recv(fd, &mut buffer, RecvFlags::DONTWAIT)?)) {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(());
                }
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
