//! Waiting longer after each failure, with jitter, up to a bound.

use std::time::Duration;

/// Grows the wait between attempts. The wait is a random part, at least half, of a time that doubles up to a bound, so
/// that many clients of one server do not come back at the same instant.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of about `base` at first and at most `max`.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// How many failures there were since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure and says how long to wait.
    pub fn next_wait(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        jittered(self.base.saturating_mul(1 << doublings).min(self.max))
    }
}

/// A random time between half of `wait` and all of it.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let half = wait / 2;
    // Without randomness the whole wait is as good.
    let part = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    half + half.mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut top = 100;
        for _ in 0..40 {
            let wait = u64::try_from(backoff.next_wait().as_millis()).unwrap_or(u64::MAX);
            assert!((top / 2..=top).contains(&wait), "{wait} is not about {top}");
            top = (top * 2).min(2000);
        }
        assert_eq!(backoff.failures(), 40);
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
