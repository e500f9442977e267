//! Annotation keys that mean something to this library.

/// The kind of a CRI container: [`SANDBOX`] or [`CONTAINER`] (containerd's key).
pub const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";
/// The sandbox that a CRI container belongs to (containerd's key).
pub const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";
/// The pod's own container, the value of [`CONTAINER_TYPE`].
pub const SANDBOX: &str = "sandbox";
/// A container within a pod, the value of [`CONTAINER_TYPE`].
pub const CONTAINER: &str = "container";
