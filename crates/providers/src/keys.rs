//! A provider's keys: which one the next request is sent with, and which are left alone for a while. A key is known by its name
//! alone; its value never comes here. The pool is pure, with the time as a parameter.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use egress::{HttpClient, Vault};
use tokio::time::Instant;
use types::{ProviderError, ProviderErrorKind as Kind, SecretName, Timestamp};

/// How long a key is left alone whose rate or quota is used up, where the vendor does not say; it doubles with each time.
const FIRST_REST: Duration = Duration::from_secs(60);
/// The longest that a key is left alone.
const LONGEST_REST: Duration = Duration::from_secs(3_600);

/// The clients of one provider, each with a key of its own; one client without a key where there is none.
pub(crate) struct Keys {
    clients: Vec<HttpClient>,
    names: Vec<SecretName>,
    vault: Vault,
    pool: Mutex<Pool>,
}

impl Keys {
    /// Clients for these keys, in the order in which they are preferred; `names` is empty for a server without keys.
    pub(crate) fn new(clients: Vec<HttpClient>, names: Vec<SecretName>, vault: Vault) -> Self {
        let pool = Mutex::new(Pool::new(clients.len()));
        Self { clients, names, vault, pool }
    }

    /// How many keys there are.
    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    /// The first client: they differ in their keys alone.
    pub(crate) fn any(&self) -> &HttpClient {
        &self.clients[0]
    }

    /// The number of the key that is to be used now, with its client; the reason in words when all of them are out.
    pub(crate) fn pick(&self, now: Instant) -> Result<(usize, &HttpClient), ProviderError> {
        // Apart from the match, which would hold the pool while the reason is put into words.
        let picked = self.pool().pick(now, |key| self.changed_at(key));
        match picked {
            Some(key) => Ok((key, &self.clients[key])),
            None => Err(self.all_out()),
        }
    }

    /// Takes note of what a request with this key came to. True when another key may do better at once.
    pub(crate) fn failed(&self, key: usize, error: &ProviderError, now: Instant) -> bool {
        let stamp = self.changed_at(key);
        let mut pool = self.pool();
        pool.failed(key, error, stamp, now)
            && pool.pick(now, |key| self.changed_at(key)).is_some_and(|next| next != key)
    }

    /// The vendor took this key.
    pub(crate) fn answered(&self, key: usize) {
        self.pool().answered(key);
    }

    /// The gravest of what was said of the keys, with their names.
    fn all_out(&self) -> ProviderError {
        let pool = self.pool();
        let each = self.names.iter().zip(&pool.keys).filter_map(|(name, key)| Some((name, key.last.as_ref()?)));
        let said: Vec<String> = each.map(|(name, error)| format!("`{name}`: {error}")).collect();
        let gravest = pool.keys.iter().filter_map(|key| key.last.as_ref()).max_by_key(|error| gravity(error.kind));
        let message = format!("every key of this provider is out: {}", said.join("; "));
        match gravest {
            Some(error) => ProviderError { message: crate::errors::bounded(&message), ..error.clone() },
            None => ProviderError::new(Kind::Auth, message),
        }
    }

    /// When the secret got its present value.
    fn changed_at(&self, key: usize) -> Option<Timestamp> {
        let name = self.names.get(key)?;
        let secrets = self.vault.list().ok()?;
        secrets.into_iter().find(|secret| secret.name == *name).and_then(|secret| secret.rotated.or(secret.created))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gravity(kind: Kind) -> u8 {
    match kind {
        Kind::Auth => 3,
        Kind::Quota => 2,
        _ => 1,
    }
}

/// What is known of each key.
struct Pool {
    keys: Vec<Key>,
    /// The one that was used last: a change for no reason would lose the vendor's cache.
    present: usize,
}

#[derive(Clone, Default)]
struct Key {
    out: Option<Out>,
    /// How often in a row it had to rest.
    rests: u32,
    last: Option<ProviderError>,
}

/// Why and how long a key is not used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Out {
    /// Its rate or its money is used up.
    Until(Instant),
    /// The vendor refuses it. It stays out until the secret has another value, which shows in the time of its last change.
    Refused(Option<Timestamp>),
}

impl Pool {
    fn new(count: usize) -> Self {
        Self { keys: vec![Key::default(); count], present: 0 }
    }

    /// The present key while it can be used, else the next that can. A single key is always used: nothing could be used instead,
    /// and what its vendor says is worth hearing. None when all of several are out.
    fn pick(&mut self, now: Instant, changed: impl Fn(usize) -> Option<Timestamp>) -> Option<usize> {
        let count = self.keys.len();
        if count <= 1 {
            return Some(0);
        }
        let order = (self.present..count).chain(0..self.present);
        for key in order {
            let usable = match self.keys[key].out {
                None => true,
                Some(Out::Until(end)) => end <= now,
                Some(Out::Refused(stamp)) => changed(key) != stamp,
            };
            if usable {
                self.keys[key].out = None;
                self.present = key;
                return Some(key);
            }
        }
        None
    }

    /// True when the error is about the key.
    fn failed(&mut self, key: usize, error: &ProviderError, stamp: Option<Timestamp>, now: Instant) -> bool {
        let Some(state) = self.keys.get_mut(key) else { return false };
        let out = match (error.kind, error.status) {
            // A refusal of what was asked for, by the vendor or by a wall before it: another key would meet the same.
            (Kind::Auth, Some(403)) => return false,
            (Kind::Auth, _) => Out::Refused(stamp),
            (Kind::Quota | Kind::RateLimited, _) => {
                let doubled = FIRST_REST.saturating_mul(2_u32.saturating_pow(state.rests.min(16)));
                state.rests = state.rests.saturating_add(1);
                let asked = error.retry_after_ms.map(Duration::from_millis);
                Out::Until(now + asked.unwrap_or(doubled).min(LONGEST_REST))
            }
            _ => return false,
        };
        state.out = Some(out);
        state.last = Some(error.clone());
        true
    }

    fn answered(&mut self, key: usize) {
        if let Some(state) = self.keys.get_mut(key) {
            *state = Key::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: fn(usize) -> Option<Timestamp> = |_| None;

    fn error(kind: Kind, retry_after_ms: Option<u64>) -> ProviderError {
        ProviderError { retry_after_ms, ..ProviderError::new(kind, "no") }
    }

    #[test]
    fn a_key_is_kept_while_it_works() {
        let (mut pool, now) = (Pool::new(3), Instant::now());
        assert_eq!((pool.pick(now, NEVER), pool.pick(now, NEVER)), (Some(0), Some(0)));
        for passing in [Kind::Server, Kind::Overloaded, Kind::Timeout, Kind::Network, Kind::BadRequest, Kind::NotFound]
        {
            assert!(!pool.failed(0, &error(passing, None), None, now), "{passing:?} is not about the key");
        }
        let forbidden = ProviderError { status: Some(403), ..error(Kind::Auth, None) };
        assert!(!pool.failed(0, &forbidden, None, now), "what was asked for is forbidden");
        assert_eq!(pool.pick(now, NEVER), Some(0));
        assert!(pool.failed(0, &error(Kind::RateLimited, None), None, now));
        assert_eq!(pool.pick(now, NEVER), Some(1), "the next one goes on");
        assert_eq!(pool.pick(now + FIRST_REST, NEVER), Some(1), "and is kept when the first has rested");
    }

    #[test]
    fn rests_double_up_to_an_hour_and_end_with_an_answer() {
        let (mut pool, start) = (Pool::new(2), Instant::now());
        pool.failed(1, &error(Kind::Auth, None), None, start);
        let mut now = start;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(pool.pick(now, NEVER), Some(0), "{minutes}");
            pool.failed(0, &error(Kind::Quota, None), None, now);
            assert_eq!(pool.pick(now + Duration::from_secs(minutes * 60 - 1), NEVER), None, "{minutes}");
            now += Duration::from_secs(minutes * 60);
        }
        assert_eq!(pool.pick(now, NEVER), Some(0));
        pool.answered(0);
        pool.failed(0, &error(Kind::RateLimited, None), None, now);
        assert_eq!(pool.pick(now + FIRST_REST, NEVER), Some(0), "counted anew");
    }

    #[test]
    fn the_vendors_time_counts_before_ours() {
        let (mut pool, now) = (Pool::new(2), Instant::now());
        pool.failed(1, &error(Kind::Auth, None), None, now);
        pool.failed(0, &error(Kind::RateLimited, Some(5_000)), None, now);
        assert_eq!(pool.pick(now + Duration::from_secs(4), NEVER), None);
        assert_eq!(pool.pick(now + Duration::from_secs(5), NEVER), Some(0));
        pool.failed(0, &error(Kind::RateLimited, Some(u64::MAX)), None, now);
        assert_eq!(pool.pick(now + LONGEST_REST, NEVER), Some(0), "no time is endless");
    }

    #[test]
    fn a_refused_key_comes_back_with_another_value() {
        let (mut pool, now) = (Pool::new(2), Instant::now());
        pool.failed(0, &error(Kind::Auth, None), Some(Timestamp(1)), now);
        pool.failed(1, &error(Kind::Auth, None), Some(Timestamp(1)), now);
        let later = now + Duration::from_secs(1_000_000);
        assert_eq!(pool.pick(later, |_| Some(Timestamp(1))), None, "time does not make it right");
        assert_eq!(pool.pick(later, |key| Some(Timestamp(if key == 1 { 2 } else { 1 }))), Some(1));
    }

    #[test]
    fn a_single_key_is_always_tried() {
        let (mut pool, now) = (Pool::new(1), Instant::now());
        pool.failed(0, &error(Kind::Auth, None), None, now);
        assert_eq!(pool.pick(now, NEVER), Some(0));
    }
}
