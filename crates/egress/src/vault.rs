//! The vault: the secrets that requests are sent with, encrypted on disk. A value leaves it only into a request's slot
//! or into a redactor; there is deliberately no public way to read one.
//!
//! `HOME/vault` holds the sealed entries, `HOME/vault.lock` keeps writers apart, and the key is where the vault's header
//! says: see [`KeySource`].

mod binding;
mod cache;
mod error;
mod file;
mod github;
mod key;
mod keyring;
mod sealed;
mod secret;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use policy::redact::Redactor;
use types::{Invariant, SecretName, Timestamp};

pub use binding::{Binding, CredentialSlot, InvalidBinding};
pub use cache::{BoundSecret, Known, Standing};
pub use error::VaultError;
pub use github::GithubRepository;
pub use key::{AskPassphrase, KeySource, KeySources, Passphrase};
pub use secret::{Dead, EnvName, SecretInfo, SecretValue};

use cache::Cache;
use file::{Stamp, erase, lock, read_private, write_private};
use key::{KEY_FILE, Key, Lock};
use sealed::{Secrets, Unsealed};
use secret::Secret;

/// The most entries a vault may have.
const MAX_ENTRIES: usize = 256;
/// The most bytes of a vault file that are read: all entries at their largest, in base64, with room for names.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The file of the sealed entries.
const VAULT_FILE: &str = "vault";

/// The secrets of one home. Cheap to clone; all clones share one cache, and a change that another process made on disk
/// is noticed at the next use.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("home", &self.0.home).finish_non_exhaustive()
    }
}

struct Inner {
    home: PathBuf,
    keys: KeySources,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    /// The key that opened the vault last, so that nobody is asked twice. A key file is read each time instead.
    key: Option<(Lock, Key)>,
}

/// What is kept of a secret beside its value. Nothing changes where nothing is given.
#[derive(Clone, Debug, Default)]
pub struct SecretSettings {
    /// Where it may go, in place of what was allowed before.
    pub bindings: Option<Vec<Binding>>,
    /// The variable that shows a placeholder for it in sandboxes.
    pub env: Option<EnvName>,
}

impl Vault {
    /// Opens the vault of `home` and checks that everything in it can be read. A home without a vault is an empty one;
    /// nothing is created before the first secret is set. The key is sought where [`KeySources::install`] said. Fails on
    /// exposed permissions, a missing or wrong key and damage.
    pub fn open(home: &Path) -> Result<Self, VaultError> {
        Self::open_with(home, KeySources::of_process())
    }

    /// As [`Vault::open`], with the key sought here.
    pub fn open_with(home: &Path, keys: KeySources) -> Result<Self, VaultError> {
        let vault = Self(Arc::new(Inner { home: home.to_owned(), keys, state: Mutex::default() }));
        drop(vault.refreshed()?);
        Ok(vault)
    }

    /// Stores a value durably, replacing any of the same name, which stays masked. Bindings stay as they are. Fails with
    /// [`VaultError::OldValue`] on a value that leaked before.
    pub fn set(&self, name: &SecretName, value: SecretValue, now: Timestamp) -> Result<(), VaultError> {
        self.put(name, value, SecretSettings::default(), now)
    }

    /// Stores a value and where it may go, durably.
    pub fn put(
        &self,
        name: &SecretName,
        value: SecretValue,
        settings: SecretSettings,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        self.change(|secrets| {
            if secrets.len() >= MAX_ENTRIES && !secrets.contains_key(name) {
                return Err(VaultError::Full);
            }
            let secret = match secrets.get_mut(name) {
                Some(secret) => {
                    secret.replace(name, value, now)?;
                    secret
                }
                None => secrets.entry(name.clone()).or_insert(Secret { created: Some(now), ..Secret::bare(value) }),
            };
            apply(secret, settings)
        })
    }

    /// Puts another value in the place of an existing secret's. Fails with [`VaultError::Missing`] when there is none,
    /// and with [`VaultError::OldValue`] when it has this value or it leaked.
    pub fn rotate(&self, name: &SecretName, value: SecretValue, now: Timestamp) -> Result<(), VaultError> {
        self.change(|secrets| {
            let secret = secrets.get_mut(name).ok_or_else(|| VaultError::Missing { name: name.clone() })?;
            if secret.dead.is_none() && secret.value == value {
                return Err(VaultError::OldValue { name: name.clone(), why: "is the present one" });
            }
            secret.replace(name, value, now)
        })
    }

    /// Changes where a secret may go, durably, and leaves its value.
    pub fn configure(&self, name: &SecretName, settings: SecretSettings) -> Result<(), VaultError> {
        self.change(|secrets| {
            let secret = secrets.get_mut(name).ok_or_else(|| VaultError::Missing { name: name.clone() })?;
            apply(secret, settings)
        })
    }

    /// Refuses a secret from here on, durably: it was seen where it must not be. False when it was dead already.
    pub fn mark_dead(&self, name: &SecretName, dead: Dead) -> Result<bool, VaultError> {
        if self.refreshed()?.secrets().get(name).is_some_and(|secret| secret.dead.is_some()) {
            return Ok(false);
        }
        let mut first = false;
        self.change(|secrets| {
            let secret = secrets.get_mut(name).ok_or_else(|| VaultError::Missing { name: name.clone() })?;
            first = secret.dead.is_none();
            secret.dead.get_or_insert(dead);
            Ok(())
        })?;
        Ok(first)
    }

    /// Removes a secret durably, its earlier values included. Fails with [`VaultError::Missing`] when there is none of
    /// that name.
    pub fn remove(&self, name: &SecretName) -> Result<(), VaultError> {
        self.change(|secrets| match secrets.remove(name) {
            Some(_) => Ok(()),
            None => Err(VaultError::Missing { name: name.clone() }),
        })
    }

    /// The names of all secrets, sorted.
    pub fn names(&self) -> Result<Vec<SecretName>, VaultError> {
        Ok(self.refreshed()?.secrets().keys().cloned().collect())
    }

    /// Whether there is a secret of this name, alive or dead.
    pub fn contains(&self, name: &SecretName) -> Result<bool, VaultError> {
        Ok(self.refreshed()?.secrets().contains_key(name))
    }

    /// What may be told of each secret, by name.
    pub fn list(&self) -> Result<Vec<SecretInfo>, VaultError> {
        Ok(self.refreshed()?.secrets().iter().map(|(name, secret)| secret.info(name)).collect())
    }

    /// The living secrets that have bindings: what a sandbox may hold placeholders of. Cheap: it is made anew only when
    /// the vault has changed.
    pub fn bound(&self) -> Result<Arc<[BoundSecret]>, VaultError> {
        Ok(self.refreshed()?.bound())
    }

    /// Masks every value that this vault holds or has held since it was opened, and every earlier value of what it
    /// holds. When the file cannot be read, the values known so far stay masked.
    pub fn redactor(&self) -> Arc<Redactor> {
        if Invariant::NoSecretReadable.is_broken() {
            return Arc::default();
        }
        match self.refreshed() {
            Ok(cache) => cache.redactor(),
            Err(_) => self.state().cache.redactor(),
        }
    }

    /// Which known values stand in a text, in any form. Each secret is named once.
    pub fn known_in(&self, text: &str) -> Vec<Known> {
        match self.refreshed() {
            Ok(cache) => cache.known_in(text),
            Err(_) => self.state().cache.known_in(text),
        }
    }

    /// Where the key is; none while there is no vault.
    pub fn key_source(&self) -> Result<Option<KeySource>, VaultError> {
        Ok(self.refreshed()?.source())
    }

    /// Seals the vault with a new key in another place, and forgets the old one. `ask` gives the passphrase where that is
    /// the place; without it, the one is used that this vault was opened with. For the keyring, which forgets at a restart
    /// of the machine, the text that [`Vault::restore_key`] takes is returned.
    pub fn reseal(&self, place: KeySource, ask: Option<AskPassphrase>) -> Result<Option<String>, VaultError> {
        let home = &self.0.home;
        let mut state = self.state();
        let _lock = lock(home)?;
        let (_, secrets, old) = self.load(&mut state)?;
        let keys = KeySources { passphrase: ask.or_else(|| self.0.keys.passphrase.clone()), ..self.0.keys.clone() };
        let (lock, key) = keys.make(home, place)?;
        let recovery = (place == KeySource::Keyring).then(|| key.recovery().to_string());
        self.seal(&mut state, lock, key, secrets)?;
        // The old key opens nothing any more; it goes once the new one is durable.
        match old.map(|lock| lock.source()) {
            Some(KeySource::File) if place != KeySource::File => erase(home, KEY_FILE)?,
            Some(KeySource::Keyring) if place != KeySource::Keyring => keyring::erase(home),
            Some(_) | None => {}
        }
        Ok(recovery)
    }

    /// Puts the key back into the kernel's keyring after a restart of the machine. Fails when it does not open this vault.
    pub fn restore_key(home: &Path, recovery: &str) -> Result<(), VaultError> {
        let key = Key::from_recovery(recovery)?;
        let vault =
            Self(Arc::new(Inner { home: home.to_owned(), keys: KeySources::default(), state: Mutex::default() }));
        let Some((_, bytes)) = read_private(&home.join(VAULT_FILE), MAX_FILE_BYTES)? else {
            return Err(VaultError::KeyUnavailable { why: "this home has no vault".to_owned() });
        };
        let sealed = sealed::parse(&bytes).map_err(|error| vault.explain(error, KeySource::Keyring))?;
        if sealed.key != Lock::Keyring {
            let why = format!("the vault is locked with {}, not with the kernel's keyring", sealed.key.source());
            return Err(VaultError::KeyUnavailable { why });
        }
        drop(sealed.open(&key).map_err(|error| vault.explain(error, KeySource::Keyring))?);
        keyring::write(home, &key)
    }

    /// The value of a secret, for a request's slot alone.
    pub(crate) fn value(&self, name: &SecretName) -> Result<SecretValue, VaultError> {
        let cache = self.refreshed()?;
        let secret = cache.secrets().get(name).ok_or_else(|| VaultError::Missing { name: name.clone() })?;
        match &secret.dead {
            Some(dead) if !Invariant::RevocationIsLive.is_broken() => {
                Err(VaultError::Dead { name: name.clone(), why: dead.to_string() })
            }
            Some(_) | None => Ok(secret.value.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves a whole, if older, cache.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cache, read anew if the file is another than last time.
    fn refreshed(&self) -> Result<Fresh<'_>, VaultError> {
        let mut state = self.state();
        let stamp = Stamp::of(&self.0.home.join(VAULT_FILE))?;
        let is_stale = stamp.is_none() || stamp != state.cache.stamp();
        let keeps_old = Invariant::RevocationIsLive.is_broken() && state.cache.stamp().is_some();
        if is_stale && !keeps_old {
            let (stamp, secrets, lock) = self.load(&mut state)?;
            state.cache.replace(stamp, secrets, lock.map(|lock| lock.source()));
        }
        Ok(Fresh(state))
    }

    /// Reads the files. A missing vault is empty.
    fn load(&self, state: &mut State) -> Result<(Option<Stamp>, Secrets, Option<Lock>), VaultError> {
        let Some((stamp, bytes)) = read_private(&self.0.home.join(VAULT_FILE), MAX_FILE_BYTES)? else {
            return Ok((None, Secrets::new(), None));
        };
        let parse = || sealed::parse(&bytes).map_err(|error| self.explain(error, KeySource::File));
        let sealed = parse()?;
        let lock = sealed.key.clone();
        let failed = |error| self.explain(error, lock.source());
        let remembered = state.key.take_if(|(known, _)| *known != lock || lock == Lock::File).is_none();
        if remembered && let Some((_, key)) = &state.key {
            match sealed.open(key) {
                Ok(secrets) => return Ok((Some(stamp), secrets, Some(lock))),
                // Another process may have sealed it with another key in the same place.
                Err(Unsealed::WrongKey) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let key = self.0.keys.find(&self.0.home, &lock)?;
        let secrets = parse()?.open(&key).map_err(failed)?;
        state.key = Some((lock.clone(), key));
        Ok((Some(stamp), secrets, Some(lock)))
    }

    fn explain(&self, error: Unsealed, source: KeySource) -> VaultError {
        let path = self.0.home.join(VAULT_FILE);
        match error {
            Unsealed::Malformed(place) => VaultError::Corrupt { path, why: format!("not readable at {place}") },
            Unsealed::Newer(format) => VaultError::Newer { path, format },
            Unsealed::WrongKey => VaultError::WrongKey { path, place: source },
            Unsealed::Damaged(name) => VaultError::Corrupt { path, why: format!("the entry `{name}` does not open") },
            Unsealed::NoRandomness => VaultError::NoRandomness,
        }
    }

    /// Reads, changes and writes under the lock that keeps other processes out.
    fn change(&self, change: impl FnOnce(&mut Secrets) -> Result<(), VaultError>) -> Result<(), VaultError> {
        let home = &self.0.home;
        let mut state = self.state();
        let _lock = lock(home)?;
        let (stamp, mut secrets, lock) = self.load(&mut state)?;
        // What another process wrote is remembered even if this change replaces it.
        state.cache.replace(stamp, secrets.clone(), lock.as_ref().map(Lock::source));
        change(&mut secrets)?;
        let (lock, key) = match (lock, state.key.clone()) {
            (Some(lock), Some((_, key))) => (lock, key),
            (Some(_) | None, None) | (None, Some(_)) => self.0.keys.choose(home)?,
        };
        self.seal(&mut state, lock, key, secrets)
    }

    fn seal(&self, state: &mut State, lock: Lock, key: Key, secrets: Secrets) -> Result<(), VaultError> {
        let bytes = sealed::seal(&key, &lock, &secrets).map_err(|error| self.explain(error, lock.source()))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(VaultError::Full);
        }
        write_private(&self.0.home, VAULT_FILE, &bytes)?;
        let stamp = Stamp::of(&self.0.home.join(VAULT_FILE))?;
        state.cache.replace(stamp, secrets, Some(lock.source()));
        state.key = Some((lock, key));
        Ok(())
    }
}

/// A cache that is as fresh as the file, under its lock.
struct Fresh<'a>(MutexGuard<'a, State>);

impl std::ops::Deref for Fresh<'_> {
    type Target = Cache;
    fn deref(&self) -> &Cache {
        &self.0.cache
    }
}

fn apply(secret: &mut Secret, settings: SecretSettings) -> Result<(), VaultError> {
    if let Some(bindings) = settings.bindings {
        secret.bindings = bindings;
    }
    if settings.env.is_some() {
        secret.env = settings.env;
    }
    secret.check()
}
