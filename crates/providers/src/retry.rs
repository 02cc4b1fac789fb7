//! Whether and when a failed request is tried again. Pure but for the random part of the wait.

use std::time::Duration;

use types::ProviderError;

/// The longest wait that we choose ourselves.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The longest wait that a vendor may ask of us; beyond it the caller shall know and decide.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// No try begins later than this after the first.
const MAX_ELAPSED: Duration = Duration::from_secs(120);

/// How a provider's requests are repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    attempts: u32,
    backoff: Duration,
}

impl Retry {
    /// At most `attempts` tries in all; the first wait is at most `backoff`, and each next at most twice the one before.
    pub(crate) fn new(attempts: u32, backoff: Duration) -> Self {
        Self { attempts, backoff }
    }

    /// How long to wait before the next try after `attempt` tries, `elapsed` since the first began; none when the error
    /// is final.
    pub(crate) fn wait(&self, attempt: u32, elapsed: Duration, error: &ProviderError) -> Option<Duration> {
        if attempt >= self.attempts || !error.kind.is_transient() {
            return None;
        }
        let asked = error.retry_after_ms.map(Duration::from_millis);
        if asked.is_some_and(|asked| asked > MAX_RETRY_AFTER) {
            return None;
        }
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(16)));
        let jitter = doubled.min(MAX_BACKOFF).mul_f64(random_fraction());
        // The jitter comes on top of what the vendor asks: many clients are told the same instant.
        let wait = asked.unwrap_or_default() + jitter;
        (elapsed + wait <= MAX_ELAPSED).then_some(wait)
    }
}

/// A number from 0 to 1. Without randomness every wait is the longest, which is safe.
fn random_fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use types::ProviderErrorKind as Kind;

    use super::*;

    fn error(kind: Kind, retry_after_ms: Option<u64>) -> ProviderError {
        ProviderError { retry_after_ms, ..ProviderError::new(kind, "") }
    }

    const RETRY: Retry = Retry { attempts: 5, backoff: Duration::from_millis(500) };

    #[test]
    fn only_passing_failures_are_repeated() {
        for kind in [Kind::RateLimited, Kind::Overloaded, Kind::Server, Kind::Timeout, Kind::Network, Kind::Truncated] {
            assert!(RETRY.wait(1, Duration::ZERO, &error(kind, None)).is_some(), "{kind:?}");
        }
        for kind in [Kind::Auth, Kind::Quota, Kind::ContextOverflow, Kind::TooLarge, Kind::BadRequest, Kind::NotFound] {
            assert_eq!(RETRY.wait(1, Duration::ZERO, &error(kind, None)), None, "{kind:?}");
        }
        assert_eq!(RETRY.wait(1, Duration::ZERO, &error(Kind::Cancelled, None)), None);
    }

    #[test]
    fn tries_and_time_are_bounded() {
        assert!(RETRY.wait(4, Duration::ZERO, &error(Kind::Server, None)).is_some());
        assert_eq!(RETRY.wait(5, Duration::ZERO, &error(Kind::Server, None)), None);
        assert_eq!(RETRY.wait(1, Duration::from_secs(121), &error(Kind::Server, None)), None);
        assert_eq!(RETRY.wait(1, Duration::from_secs(100), &error(Kind::RateLimited, Some(30_000))), None);
    }

    #[test]
    fn the_vendors_wait_is_kept_and_capped() {
        let wait = RETRY.wait(1, Duration::ZERO, &error(Kind::RateLimited, Some(7000))).unwrap_or_default();
        assert!((Duration::from_millis(7000)..=Duration::from_millis(7500)).contains(&wait), "{wait:?}");
        assert!(RETRY.wait(1, Duration::ZERO, &error(Kind::RateLimited, Some(60_000))).is_some());
        assert_eq!(RETRY.wait(1, Duration::ZERO, &error(Kind::RateLimited, Some(60_001))), None);
    }

    #[test]
    fn waits_double_and_are_random() {
        let retry = Retry { attempts: u32::MAX, ..RETRY };
        let longest =
            |attempt| (0..200).filter_map(|_| retry.wait(attempt, Duration::ZERO, &error(Kind::Server, None))).max();
        assert!(longest(1) <= Some(Duration::from_millis(500)) && longest(1) > Some(Duration::from_millis(250)));
        assert!(longest(3) <= Some(Duration::from_secs(2)) && longest(3) > Some(Duration::from_secs(1)));
        assert!(longest(40) <= Some(MAX_BACKOFF));
    }
}
