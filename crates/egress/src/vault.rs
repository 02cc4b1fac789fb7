//! The vault: the secrets that requests are sent with, encrypted on disk. A value leaves it only into a request's slot
//! or into a redactor; there is deliberately no public way to read one.
//!
//! `HOME/vault` holds the sealed entries, `HOME/vault.key` the key (0600), `HOME/vault.lock` keeps writers apart.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use policy::redact::Redactor;
use types::SecretName;

use crate::sealed::{self, KEY_BYTES, Key, Unsealed};

/// The most bytes a value may have.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The most entries a vault may have.
const MAX_ENTRIES: usize = 256;
/// The most bytes of a vault file that are read: all entries at their largest, in base64, with room for names.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;
/// The most values of earlier times that stay masked; the oldest names are dropped first.
const MAX_REMEMBERED: usize = 1024;

/// What can go wrong with the vault. No variant carries a value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file system refused.
    #[error("could not {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody else on the machine can read the file.
    #[error(
        "{path} can be read by other users (mode {mode:03o}); run `chmod 600 {path}` and replace the secrets in it",
        path = path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There are sealed entries and no key.
    #[error(
        "{path} is missing, so the secrets cannot be opened; restore it from a backup, or move the file `vault` away \
         and set the secrets anew",
        path = path.display()
    )]
    KeyMissing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The key has the wrong length.
    #[error("{path} is damaged; restore it from a backup", path = path.display())]
    KeyDamaged {
        /// Where the key is.
        path: PathBuf,
    },
    /// The key opens no entry.
    #[error(
        "{path} cannot be opened with the key in `vault.key`: the key is another vault's, or the file is damaged; \
         restore both from the same backup",
        path = path.display()
    )]
    WrongKey {
        /// The vault.
        path: PathBuf,
    },
    /// The file, or one entry in it, is damaged.
    #[error("{path} is damaged ({why}); nothing was changed; restore it from a backup", path = path.display())]
    Corrupt {
        /// The vault.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later version of the program wrote it.
    #[error("{path} has format {format}, which this version does not know; use the version that wrote it", path = path.display())]
    Newer {
        /// The vault.
        path: PathBuf,
        /// The format it names.
        format: u32,
    },
    /// The value is empty.
    #[error("the secret is empty")]
    Empty,
    /// The value is too long.
    #[error("the secret is longer than 64 KiB")]
    TooLong,
    /// The vault is full.
    #[error("the vault holds 256 secrets already; remove one first")]
    Full,
    /// There is no such secret.
    #[error("there is no secret named `{name}`; set it with `factotum secret set {name}`")]
    Missing {
        /// The name that was asked for.
        name: SecretName,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
}

/// The value of a secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// Takes a value of 1 byte to 64 KiB. Whoever reads it from a terminal or a pipe trims the line's end.
    pub fn new(value: impl Into<String>) -> Result<Self, VaultError> {
        let value = value.into();
        match value.len() {
            0 => Err(VaultError::Empty),
            length if length > MAX_VALUE_BYTES => Err(VaultError::TooLong),
            _ => Ok(Self(value)),
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

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
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    stamp: Option<Stamp>,
    values: BTreeMap<SecretName, SecretValue>,
    /// Every value seen since the start: a secret that was replaced stays masked.
    seen: Vec<(SecretName, String)>,
    redactor: Arc<Redactor>,
}

/// Tells one state of the file from another: replacing it always makes a new inode.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    mode: u32,
}

impl Vault {
    /// Opens the vault of `home` and checks that everything in it can be read. A home without a vault is an empty one;
    /// nothing is created before the first secret is set. Fails on exposed permissions, a wrong key and damage.
    pub fn open(home: &Path) -> Result<Self, VaultError> {
        let vault = Self(Arc::new(Inner { home: home.to_owned(), cache: Mutex::default() }));
        drop(vault.refreshed()?);
        Ok(vault)
    }

    /// Stores a value durably, replacing any of the same name.
    pub fn set(&self, name: &SecretName, value: SecretValue) -> Result<(), VaultError> {
        self.change(|values| {
            if values.len() >= MAX_ENTRIES && !values.contains_key(name) {
                return Err(VaultError::Full);
            }
            values.insert(name.clone(), value);
            Ok(())
        })
    }

    /// Removes a secret durably. Fails with [`VaultError::Missing`] when there is none of that name.
    pub fn remove(&self, name: &SecretName) -> Result<(), VaultError> {
        self.change(|values| match values.remove(name) {
            Some(_) => Ok(()),
            None => Err(VaultError::Missing { name: name.clone() }),
        })
    }

    /// The names of all secrets, sorted.
    pub fn names(&self) -> Result<Vec<SecretName>, VaultError> {
        Ok(self.refreshed()?.values.keys().cloned().collect())
    }

    /// Whether there is a secret of this name.
    pub fn contains(&self, name: &SecretName) -> Result<bool, VaultError> {
        Ok(self.refreshed()?.values.contains_key(name))
    }

    /// Masks every value that this vault holds or has held since it was opened. When the file cannot be read, the
    /// values known so far stay masked.
    pub fn redactor(&self) -> Arc<Redactor> {
        match self.refreshed() {
            Ok(cache) => cache.redactor.clone(),
            Err(_) => self.cache().redactor.clone(),
        }
    }

    /// The value of a secret, for a request's slot alone.
    pub(crate) fn value(&self, name: &SecretName) -> Result<SecretValue, VaultError> {
        self.refreshed()?.values.get(name).cloned().ok_or_else(|| VaultError::Missing { name: name.clone() })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A panic while the lock was held leaves a whole, if older, cache.
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.home.join(file)
    }

    /// The cache, read anew if the file is another than last time.
    fn refreshed(&self) -> Result<MutexGuard<'_, Cache>, VaultError> {
        let mut cache = self.cache();
        let path = self.path("vault");
        let stamp = match fs::metadata(&path) {
            Ok(metadata) => Some(stamp(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(VaultError::Io { action: "read", path, source }),
        };
        if stamp.is_none() || stamp != cache.stamp {
            let (stamp, values) = self.load()?;
            cache.replace(stamp, values);
        }
        Ok(cache)
    }

    /// Reads the files. A missing vault is empty.
    fn load(&self) -> Result<(Option<Stamp>, BTreeMap<SecretName, SecretValue>), VaultError> {
        let path = self.path("vault");
        let Some((stamp, bytes)) = read_private(&path, MAX_FILE_BYTES)? else { return Ok((None, BTreeMap::new())) };
        let key = self.key()?.ok_or_else(|| VaultError::KeyMissing { path: self.path("vault.key") })?;
        let values = sealed::unseal(&key, &bytes).map_err(|error| self.explain(error))?;
        Ok((Some(stamp), values))
    }

    fn explain(&self, error: Unsealed) -> VaultError {
        let path = self.path("vault");
        match error {
            Unsealed::Malformed(place) => VaultError::Corrupt { path, why: format!("not readable at {place}") },
            Unsealed::Newer(format) => VaultError::Newer { path, format },
            Unsealed::WrongKey => VaultError::WrongKey { path },
            Unsealed::Damaged(name) => VaultError::Corrupt { path, why: format!("the entry `{name}` does not open") },
            Unsealed::NoRandomness => VaultError::NoRandomness,
        }
    }

    fn key(&self) -> Result<Option<Key>, VaultError> {
        let path = self.path("vault.key");
        let Some((_, bytes)) = read_private(&path, 4096)? else { return Ok(None) };
        let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| VaultError::KeyDamaged { path })?;
        Ok(Some(Key(key)))
    }

    /// Reads, changes and writes under the lock that keeps other processes out.
    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<SecretName, SecretValue>) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut cache = self.cache();
        let _lock = self.lock()?;
        let (stamp, mut values) = self.load()?;
        // What another process wrote is remembered even if this change replaces it.
        cache.replace(stamp, values.clone());
        change(&mut values)?;
        let key = match self.key()? {
            Some(key) => key,
            None => self.make_key()?,
        };
        let bytes = sealed::seal(&key, &values).map_err(|error| self.explain(error))?;
        self.write("vault", &bytes)?;
        let stamp = fs::metadata(self.path("vault")).ok().map(|metadata| self::stamp(&metadata));
        cache.replace(stamp, values);
        Ok(())
    }

    fn lock(&self) -> Result<File, VaultError> {
        let path = self.path("vault.lock");
        let io = |source| VaultError::Io { action: "lock", path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
        Ok(file)
    }

    fn make_key(&self) -> Result<Key, VaultError> {
        let mut bytes = [0_u8; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| VaultError::NoRandomness)?;
        self.write("vault.key", &bytes)?;
        Ok(Key(bytes))
    }

    /// Replaces a file as a whole: at every instant either the old or the new one is there, durably. The caller holds
    /// the lock, so a temporary file that is found is a crashed writer's.
    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.path(file);
        let temporary = self.path(&format!("{file}.new"));
        let io = |source| VaultError::Io { action: "write", path: path.clone(), source };
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        let mut out = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary).map_err(io)?;
        out.write_all(bytes).map_err(io)?;
        out.sync_all().map_err(io)?;
        fs::rename(&temporary, &path).map_err(io)?;
        File::open(&self.0.home).and_then(|directory| directory.sync_all()).map_err(io)
    }
}

impl Cache {
    fn replace(&mut self, stamp: Option<Stamp>, values: BTreeMap<SecretName, SecretValue>) {
        self.stamp = stamp;
        self.values = values;
        let before = self.seen.len();
        for (name, value) in &self.values {
            if !self.seen.iter().any(|(_, known)| known == value.expose()) {
                self.seen.push((name.clone(), value.expose().to_owned()));
            }
        }
        if self.seen.len() == before {
            return;
        }
        let excess = self.seen.len().saturating_sub(MAX_REMEMBERED);
        self.seen.drain(..excess);
        self.redactor = Arc::new(Redactor::new(self.seen.iter().cloned()));
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        mode: metadata.mode(),
    }
}

/// Reads a file that nobody else may read; none when it does not exist. The permissions are those of the opened file,
/// so they cannot be exchanged between check and use.
fn read_private(path: &Path, limit: u64) -> Result<Option<(Stamp, Vec<u8>)>, VaultError> {
    let io = |source| VaultError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed { path: path.to_owned(), mode });
    }
    if metadata.size() > limit {
        return Err(VaultError::Corrupt { path: path.to_owned(), why: "it is too large".to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some((stamp(&metadata), bytes)))
}
