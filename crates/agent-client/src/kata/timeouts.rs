//! How long an answer may take.

use std::time::Duration;

/// How long each sort of call may take; the defaults leave room for guests that run without KVM.
///
/// The bound is the host's: the guest is not told, so a call that takes too long is never cut off half-way in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// To make a connection.
    pub connect: Duration,
    /// To answer Check and to say its version.
    pub check: Duration,
    /// To create a sandbox or a container, storages included.
    pub create: Duration,
    /// To destroy the sandbox.
    pub destroy: Duration,
    /// Any other call that waits neither for a process nor for an event.
    pub call: Duration,
}

impl Timeouts {
    /// The default of [`Timeouts::connect`]. It is longer than the transport's own bound on a hybrid vsock handshake, whose
    /// error says more.
    pub const CONNECT: Duration = Duration::from_secs(70);
    /// The default of [`Timeouts::check`].
    pub const CHECK: Duration = Duration::from_secs(10);
    /// The default of [`Timeouts::create`].
    pub const CREATE: Duration = Duration::from_secs(120);
    /// The default of [`Timeouts::destroy`].
    pub const DESTROY: Duration = Duration::from_secs(20);
    /// The default of [`Timeouts::call`].
    pub const CALL: Duration = Duration::from_secs(60);

    /// With another time to make a connection.
    #[must_use]
    pub const fn connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// With another time to answer Check.
    #[must_use]
    pub const fn check(mut self, limit: Duration) -> Self {
        self.check = limit;
        self
    }

    /// With another time to create a sandbox or a container.
    #[must_use]
    pub const fn create(mut self, limit: Duration) -> Self {
        self.create = limit;
        self
    }

    /// With another time to destroy the sandbox.
    #[must_use]
    pub const fn destroy(mut self, limit: Duration) -> Self {
        self.destroy = limit;
        self
    }

    /// With another time for all other bounded calls.
    #[must_use]
    pub const fn call(mut self, limit: Duration) -> Self {
        self.call = limit;
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Self::CONNECT,
            check: Self::CHECK,
            create: Self::CREATE,
            destroy: Self::DESTROY,
            call: Self::CALL,
        }
    }
}
