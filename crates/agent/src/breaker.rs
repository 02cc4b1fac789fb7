//! A circuit breaker: a provider that fails again and again is left alone for a while. Pure.

use std::time::Duration;

use types::{ProviderError, ProviderErrorKind as Kind, Timestamp};

/// So many failures in a row, each after its own retries, and the provider is left alone.
const FAILURES: u32 = 2;
/// For how long at first; it doubles each time.
const FIRST: Duration = Duration::from_secs(60);
/// At most for so long.
const LONGEST: Duration = Duration::from_secs(1_800);

/// What is known of a provider since it answered last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    failures: u32,
    /// How often it was opened since an answer came.
    opened: u32,
    /// Until when nobody should ask.
    until: Option<Timestamp>,
}

impl Breaker {
    /// Whether the provider should be left alone now. After that time one may try again.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The provider failed in a way that another one might not.
    pub(crate) fn failed(&mut self, error: &ProviderError, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        // A key that is refused and an account without money do not mend themselves between two calls.
        let lasting = matches!(error.kind, Kind::Auth | Kind::Quota);
        let asked = error.retry_after_ms.map(Duration::from_millis);
        if self.failures < FAILURES && !lasting && asked.is_none() {
            return;
        }
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(self.opened)).max(asked.unwrap_or_default()).min(LONGEST);
        self.opened = self.opened.saturating_add(1);
        self.until = Some(now.plus(pause));
    }
}

/// Whether another provider may do better with the same request.
pub(crate) fn may_pass_on(kind: Kind) -> bool {
    match kind {
        Kind::RateLimited
        | Kind::Overloaded
        | Kind::Server
        | Kind::Timeout
        | Kind::Network
        | Kind::Truncated
        | Kind::Malformed
        | Kind::Auth
        | Kind::Quota
        | Kind::NotFound => true,
        // The request itself is at fault, or the owner ended it.
        Kind::ContextOverflow | Kind::TooLarge | Kind::BadRequest | Kind::Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, retry_after_ms: Option<u64>) -> ProviderError {
        ProviderError { retry_after_ms, ..ProviderError::new(kind, "") }
    }

    fn open_for(breaker: &Breaker, now: Timestamp) -> Option<u64> {
        (0..=1_900).rev().find(|second| breaker.is_open(now.plus(Duration::from_secs(*second)))).map(|last| last + 1)
    }

    #[test]
    fn it_opens_after_failures_and_for_longer_each_time() {
        let (mut breaker, now) = (Breaker::default(), Timestamp(1_000));
        let mut seen = Vec::new();
        for _ in 0..8 {
            breaker.failed(&error(Kind::Overloaded, None), now);
            seen.push(open_for(&breaker, now));
        }
        let minutes = [None, Some(1), Some(2), Some(4), Some(8), Some(16), Some(30), Some(30)];
        assert_eq!(seen, minutes.map(|minutes| minutes.map(|minutes: u64| minutes * 60)));
    }

    #[test]
    fn what_does_not_pass_opens_it_at_once() {
        let now = Timestamp(0);
        for kind in [Kind::Auth, Kind::Quota] {
            let mut breaker = Breaker::default();
            breaker.failed(&error(kind, None), now);
            assert_eq!(open_for(&breaker, now), Some(60), "{kind:?}");
        }
        let mut breaker = Breaker::default();
        breaker.failed(&error(Kind::RateLimited, Some(90_000)), now);
        assert_eq!(open_for(&breaker, now), Some(90));
    }
}
