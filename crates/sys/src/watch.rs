//! Descriptors watched by the tokio runtime.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Watches a descriptor for the readiness in `interest`, on the current runtime.
///
/// # Errors
/// When the descriptor's kind cannot be watched by `epoll(7)`, for example a regular file.
///
/// # Panics
/// When called outside of a tokio runtime.
#[expect(unsafe_code, reason = "tokio cannot see from the type that the descriptor stays the same")]
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped and always the same descriptor; it moves into the `AsyncFd`,
    // which hands out only shared references to it, so nobody can replace or close it there.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
