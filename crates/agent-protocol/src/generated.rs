//! Code made from `proto/` by `tests/generated.rs`; see there for how to renew it. Nobody edits these files.

#[rustfmt::skip]
pub mod agent;
#[rustfmt::skip]
pub mod agent_ttrpc;
#[rustfmt::skip]
pub mod csi;
#[rustfmt::skip]
pub mod health;
#[rustfmt::skip]
pub mod health_ttrpc;
#[rustfmt::skip]
pub mod oci;
#[rustfmt::skip]
pub mod types;
#[rustfmt::skip]
pub mod virtcontainers;
#[rustfmt::skip]
pub mod virtcontainers_ttrpc;
