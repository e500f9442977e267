//! The guest's network, as the host tells it: interfaces, routes and neighbours, over rtnetlink.
//!
//! - [`wire`] takes the protocol's messages apart and refuses nonsense before anything changes.
//! - [`interface`] finds a link ([`pci`] by its way through PCI bridges, or by its hardware address), waits for it while it
//!   is being plugged in, and makes it what the host describes; [`route`] and [`neighbor`] are about the rest.
//! - [`link`] and [`address`] are single changes; [`netlink`] is the socket, opened for a request and closed after it.
//!
//! Invariants: the loopback interface, and what the kernel makes by itself (routes of addresses, link-local and
//! autoconfigured IPv6 addresses), are left alone. Router advertisements are as the guest's kernel has them by default;
//! a container or `kernel_params` (`ipv6.disable=1`) may say otherwise. Nothing sleeps: what is waited for is announced
//! by the kernel.
//!
//! Messages are put together from `netlink-packet-core`'s attributes and not by `rtnetlink`, whose parsers and tasks would
//! take more of the guest's memory than all that they are asked for here.

pub mod address;
pub mod interface;
pub mod link;
pub mod neighbor;
pub mod netlink;
pub mod pci;
pub mod route;
pub mod wire;

use std::{io, time::Duration};

use rustix::io::Errno;
use ttrpc::Code;

/// The network could not be made what the host wants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The device did not appear.
    #[error(
        "no network device {what} appeared within {patience:?}: is it plugged in, and its driver in the guest image?"
    )]
    NoDevice {
        /// How it was looked for.
        what: String,
        /// How long.
        patience: Duration,
    },
    /// There is no interface of this name.
    #[error("the guest has no interface `{0}`: list them, or update it first")]
    NoInterface(String),
    /// The device that was found is not the one that was described.
    #[error("the device at PCI path {path} has hardware address {has}, not {wanted}")]
    OtherDevice {
        /// Where.
        path: String,
        /// What it has.
        has: String,
        /// What the request says.
        wanted: String,
    },
    /// The kernel refused.
    #[error("could not {doing}: {source}")]
    Kernel {
        /// What was tried.
        doing: String,
        /// How it failed.
        #[source]
        source: io::Error,
    },
}

impl NetworkError {
    /// For use with `map_err`: `doing` failed.
    fn kernel(doing: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Kernel { doing: doing(), source }
    }

    /// The status code of an answer that fails for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoDevice { .. } | Self::NoInterface(_) => Code::NOT_FOUND,
            Self::OtherDevice { .. } => Code::INVALID_ARGUMENT,
            Self::Kernel { source, .. } => match Errno::from_io_error(source) {
                // What the kernel says of addresses, routes and sizes that make no sense where they are to be.
                Some(
                    Errno::INVAL
                    | Errno::ADDRNOTAVAIL
                    | Errno::NETUNREACH
                    | Errno::HOSTUNREACH
                    | Errno::RANGE,
                ) => Code::INVALID_ARGUMENT,
                Some(Errno::NODEV | Errno::NXIO) => Code::NOT_FOUND,
                Some(Errno::EXIST) => Code::ALREADY_EXISTS,
                Some(_) | None => Code::INTERNAL,
            },
        }
    }
}
