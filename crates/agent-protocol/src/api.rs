//! The Kata agent's ttrpc API: messages, clients and service traits, as generated from `proto/`.
//!
//! The names and numbers are those of Kata Containers 4.1, so that either side of this project works with
//! either side of Kata's. [`virtcontainers`] is this project's own, for what Kata's protocol has no call for.
//!
//! - [`AgentServiceClient`], [`HealthClient`] and [`GuestServiceClient`] wrap a ttrpc client, as
//!   [`crate::transport::client`] makes one.
//! - A server implements [`AgentService`], [`Health`] and [`GuestService`] (a method left out answers `NOT_FOUND`)
//!   and is registered with [`create_agent_service`], [`create_health`] and [`create_guest_service`].

pub use crate::generated::agent_ttrpc::{AgentService, AgentServiceClient, create_agent_service};
pub use crate::generated::health_ttrpc::{Health, HealthClient, create_health};
pub use crate::generated::virtcontainers_ttrpc::{GuestService, GuestServiceClient, create_guest_service};
pub use crate::generated::{
    agent, agent_ttrpc, csi, health, health_ttrpc, oci, types, virtcontainers, virtcontainers_ttrpc,
};
pub use protobuf::well_known_types::empty::Empty;
