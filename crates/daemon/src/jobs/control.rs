//! What others can do to the worker of a job.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::takeover::Wish;

/// Shared between the engine and one worker.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// STOP was said.
    pub stop: CancellationToken,
    /// Words of the owner wait in the inbox of its session.
    pub said: Notify,
    /// The owner wants to sit down at the job, or to stand up.
    pub sat: Notify,
    wish: Mutex<Option<Wish>>,
}

impl Control {
    /// The owner wants this, and nothing that they wanted before.
    pub fn want(&self, wish: Wish) {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(wish);
        self.sat.notify_one();
    }

    /// What the owner wants, once; nothing that nobody waits for any more.
    pub fn wish(&self) -> Option<Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).take().filter(Wish::is_open)
    }
}
