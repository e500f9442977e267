//! The directories that host and guest share.

pub(crate) mod share;
pub mod virtiofsd;
