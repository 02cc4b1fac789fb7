//! Time as a value. Reading the real clock is the daemon's part.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This point moved later by `duration`, saturating at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when the clock has jumped back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The number of whole UTC days since the epoch: the bucket of daily budgets.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }
}

/// The source of wall-clock time. Tests fix it.
pub trait Clock: Send + Sync {
    /// The present time. Must not run backwards within one process.
    fn now(&self) -> Timestamp;
}
