//! How the channel is, as others see it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::{ChannelStatus, Polling};

struct Now {
    polling: Polling,
    account: Option<String>,
    last_success: Option<Instant>,
    last_error: Option<String>,
    rebuilt: u32,
}

/// The present status. Texts that come here hold no secret.
pub(super) struct Status(Mutex<Now>);

impl Default for Status {
    fn default() -> Self {
        let (account, last_success, last_error) = (None, None, None);
        Self(Mutex::new(Now { polling: Polling::Stopped, account, last_success, last_error, rebuilt: 0 }))
    }
}

impl Status {
    pub(super) fn read(&self) -> ChannelStatus {
        let now = self.now();
        ChannelStatus {
            polling: now.polling.clone(),
            account: now.account.clone(),
            last_success: now.last_success.map(|at| at.elapsed()),
            last_error: now.last_error.clone(),
            rebuilt: now.rebuilt,
        }
    }

    pub(super) fn starting(&self) {
        self.now().polling = Polling::Starting;
    }

    pub(super) fn account(&self, account: String) {
        self.now().account = Some(account);
    }

    /// Receiving worked.
    pub(super) fn received(&self) {
        let mut now = self.now();
        now.polling = Polling::Receiving;
        now.last_success = Some(Instant::now());
        now.last_error = None;
    }

    /// Something went wrong. Gives whether that differs from last time, so that a log does not repeat itself.
    pub(super) fn disturbed(&self, polling: Polling, error: String) -> bool {
        let mut now = self.now();
        now.polling = polling;
        let differs = now.last_error.as_deref() != Some(error.as_str());
        now.last_error = Some(error);
        differs
    }

    pub(super) fn rebuilt(&self) {
        let mut now = self.now();
        now.rebuilt = now.rebuilt.saturating_add(1);
    }

    pub(super) fn stopped(&self) {
        self.now().polling = Polling::Stopped;
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
