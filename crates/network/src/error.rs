//! Why a namespace, a link or an endpoint cannot be had.

use std::{io, path::PathBuf};

use thiserror::Error;
use virtcontainers_types::NetInterworkingModel;

/// An error of the work in network namespaces.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A path does not lead to a network namespace.
    #[error("{} cannot be taken as a network namespace: give one made by `ip netns add`, by a container engine, or /proc/<pid>/ns/net", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A namespace is to be made where something is already.
    #[error("{} is there already: choose another path for the new network namespace, or remove it", path.display())]
    PathTaken {
        /// The path.
        path: PathBuf,
    },
    /// What is to be removed is not what a namespace was bound onto.
    #[error("{} is no empty file that a network namespace was bound onto: it is left alone", path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused something about a file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something that concerns no single link.
    #[error("cannot {action}: {hint}")]
    Namespace {
        /// What was tried.
        action: &'static str,
        /// What may help.
        hint: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something about a link.
    #[error("cannot {action} of link {link}")]
    Link {
        /// What was tried.
        action: &'static str,
        /// The link's name.
        link: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A link is not in the namespace, or is no longer.
    #[error("link {link} (index {index}) is not in the network namespace: scan it again")]
    LinkVanished {
        /// Its name.
        link: String,
        /// Its index.
        index: u32,
    },
    /// The interworking model cannot join this kind of link to a machine.
    #[error("interworking model {model} cannot serve link {link} of kind {kind}: {advice}")]
    ModelCannotServe {
        /// The model.
        model: NetInterworkingModel,
        /// The link's name.
        link: String,
        /// The link's kind.
        kind: String,
        /// What could be done.
        advice: &'static str,
    },
    /// No endpoint serves this kind of link.
    #[error("link {link} of kind {kind} cannot be given to a virtual machine: {advice}")]
    UnsupportedLink {
        /// The link's name.
        link: String,
        /// The link's kind.
        kind: String,
        /// Why, and what could be done.
        advice: &'static str,
    },
    /// Somebody filters what comes in over the link already, perhaps for another sandbox.
    #[error(
        "link {link} has an ingress or clsact qdisc already: delete the sandbox that uses it, or remove the qdisc \
         (tc qdisc del dev {link} ingress), or choose the macvtap model"
    )]
    IngressTaken {
        /// The link's name.
        link: String,
    },
    /// Queues are asked for that cannot be had.
    #[error("{asked} queue pairs are asked for on link {link}: give 1 to {most}")]
    Queues {
        /// The link's name.
        link: String,
        /// How many.
        asked: u32,
        /// The most possible.
        most: u32,
    },
    /// A device cannot be given to a machine.
    #[error("PCI device {address} cannot be given to a virtual machine: {problem}")]
    Vfio {
        /// Its address on the bus.
        address: String,
        /// Why, and what to do.
        problem: &'static str,
    },
    /// The work in a namespace ended without a result: it panicked.
    #[error("the work in the network namespace broke down: please report this as a bug of the library")]
    BrokeDown,
}

impl NetworkError {
    /// For `map_err`: an I/O error with what was tried and on what.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// For `map_err`: the same of a link; a link that the kernel does not know is a link that vanished.
    pub(crate) fn link(
        action: &'static str,
        link: &str,
        index: u32,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let link = link.to_owned();
        move |source| match source.raw_os_error() {
            Some(code) if code == NO_SUCH_DEVICE => Self::LinkVanished { link, index },
            _ => Self::Link { action, link, source },
        }
    }

    /// The kernel's error number, where there is one.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::NotANamespace { source, .. }
            | Self::Io { source, .. }
            | Self::Namespace { source, .. }
            | Self::Link { source, .. } => source.raw_os_error(),
            Self::PathTaken { .. }
            | Self::NotOurs { .. }
            | Self::LinkVanished { .. }
            | Self::ModelCannotServe { .. }
            | Self::UnsupportedLink { .. }
            | Self::IngressTaken { .. }
            | Self::Queues { .. }
            | Self::Vfio { .. }
            | Self::BrokeDown => None,
        }
    }
}

/// `ENODEV`.
const NO_SUCH_DEVICE: i32 = rustix::io::Errno::NODEV.raw_os_error();
