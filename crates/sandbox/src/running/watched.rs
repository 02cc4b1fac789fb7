//! Descriptors that the runtime watches.
#![expect(unsafe_code, reason = "tokio cannot know that an owned descriptor keeps its number")]

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Lets the runtime watch a descriptor, which must not block.
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same number as long as it lives, keeps it open, and lives in the `AsyncFd`, which
    // stops watching before it lets go of it.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(Into::into)
}
