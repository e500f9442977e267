//! The network of a sandbox on the host: its namespace, what is in it, and how that reaches the virtual machine.
//!
//! A sandbox's network is that of a network namespace, which a container engine, a CNI plugin or a hook has filled.
//! This crate enters it ([`NetNs`]), reads it ([`scan`](mod@scan)), joins each link to the machine by an
//! [`Endpoint`](endpoint), runs CNI plugins ([`cni`]) and hooks ([`hooks`]), and watches for changes ([`watch`]).
//! It knows nothing of sandboxes or of VMMs: it hands out open descriptors, and descriptions that a record can keep.

mod error;
mod netlink;
mod netns;
mod program;

pub mod cni;
pub mod dns;
pub mod endpoint;
pub mod hooks;
pub mod model;
pub mod scan;
pub mod vfio;
pub mod watch;

pub use endpoint::{Attached, Backend, Endpoint, EndpointOptions, EndpointType, UnknownEndpointType};
pub use error::NetworkError;
pub use netns::{Inside, NetNs};
pub use scan::{Link, LinkKind, NetworkInfo, scan};
