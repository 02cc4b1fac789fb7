//! The vault's key and the places where it may be kept. Must not write a key anywhere but to the place that was chosen.
//!
//! In order of preference: a systemd credential, the kernel's keyring, a passphrase, a file that only the owner can read.
//! A desktop's keyring (Secret Service) is left out: it needs a D-Bus session, which a server does not have.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    VaultError,
    file::{read_private, write_private},
    keyring,
};

/// The length of the key in bytes.
pub(super) const KEY_BYTES: usize = 32;
/// The name of the systemd credential.
const CREDENTIAL: &str = "factotum-vault-key";
/// The key file in the home.
pub(super) const KEY_FILE: &str = "vault.key";
/// Memory, passes and lanes of Argon2id: the second recommendation of RFC 9106, for machines that are small.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a damaged or hostile file may make us spend on one derivation.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 20;
const MAX_LANES: u32 = 16;
const SALT_BYTES: usize = 16;

/// The vault's key. Never shown, and overwritten in memory when it is dropped.
#[derive(Clone)]
pub(super) struct Key(pub Zeroizing<[u8; KEY_BYTES]>);

/// A passphrase. Never shown, and overwritten in memory when it is dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text as it was typed, without the line's end.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// A place where the key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// A credential that systemd gives to the service.
    Systemd,
    /// The kernel's keyring of this user. It is empty after a restart of the machine.
    Keyring,
    /// A passphrase that is asked for at every start.
    Passphrase,
    /// `vault.key` in the home, readable by the owner alone.
    File,
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "the systemd credential `factotum-vault-key`",
            Self::Keyring => "the kernel's keyring",
            Self::Passphrase => "a passphrase",
            Self::File => "the file `vault.key`",
        })
    }
}

/// How a vault is locked, as its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Lock {
    Systemd,
    Keyring,
    Passphrase {
        salt: String,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    #[default]
    File,
}

impl Lock {
    pub fn source(&self) -> KeySource {
        match self {
            Self::Systemd => KeySource::Systemd,
            Self::Keyring => KeySource::Keyring,
            Self::Passphrase { .. } => KeySource::Passphrase,
            Self::File => KeySource::File,
        }
    }

    /// A lock for a passphrase with a fresh salt.
    fn passphrase() -> Result<Self, VaultError> {
        let mut salt = [0_u8; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| VaultError::NoRandomness)?;
        Ok(Self::Passphrase { salt: STANDARD.encode(salt), memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES })
    }
}

/// Asks whoever started the program for the passphrase; the error says why there is none.
pub type AskPassphrase = Arc<dyn Fn() -> Result<Passphrase, String> + Send + Sync>;

/// What the surroundings of the process offer towards a key. Only the command line knows these surroundings.
#[derive(Clone, Default)]
pub struct KeySources {
    /// The directory of systemd's credentials, `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// How to get the passphrase. Called at most once for each vault and salt.
    pub passphrase: Option<AskPassphrase>,
    /// Whether a passphrase was prepared, so that a vault that is made now is locked with it.
    pub prefer_passphrase: bool,
}

impl fmt::Debug for KeySources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySources").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

static PROCESS: OnceLock<KeySources> = OnceLock::new();

impl KeySources {
    /// Makes these the sources of every vault that this process opens with [`super::Vault::open`]. The first call counts.
    pub fn install(self) {
        // An error means that sources were installed before, which the contract allows.
        let _ = PROCESS.set(self);
    }

    /// What was installed, or nothing.
    pub(super) fn of_process() -> Self {
        PROCESS.get().cloned().unwrap_or_default()
    }

    /// The key that a lock asks for.
    pub(super) fn find(&self, home: &Path, lock: &Lock) -> Result<Key, VaultError> {
        match lock {
            Lock::Systemd => self.credential()?.ok_or_else(|| VaultError::KeyMissing {
                why: format!(
                    "systemd gives the credential `{CREDENTIAL}` to the service alone; run this command with `systemd-run \
                     --pipe -p LoadCredential={CREDENTIAL}:FILE`, or check LoadCredential= in the unit"
                ),
            }),
            Lock::Keyring => keyring::read(home)?.ok_or_else(|| VaultError::KeyMissing {
                why: "the kernel's keyring is empty, as it is after a restart of the machine; give the recovery key to \
                      `factotum secret key --restore`"
                    .to_owned(),
            }),
            Lock::Passphrase { .. } => derive(lock, &self.ask()?),
            Lock::File => read_key(&home.join(KEY_FILE))?.ok_or_else(|| VaultError::KeyMissing {
                why: format!(
                    "there is no {}; restore it from a backup, or move the file `vault` away and set the secrets anew",
                    home.join(KEY_FILE).display()
                ),
            }),
        }
    }

    /// The best place for a new vault's key that exists already; a key file is made when there is none.
    pub(super) fn choose(&self, home: &Path) -> Result<(Lock, Key), VaultError> {
        if let Some(key) = self.credential()? {
            return Ok((Lock::Systemd, key));
        }
        if let Some(key) = keyring::read(home).unwrap_or(None) {
            return Ok((Lock::Keyring, key));
        }
        if self.prefer_passphrase {
            return self.make(home, KeySource::Passphrase);
        }
        match read_key(&home.join(KEY_FILE))? {
            Some(key) => Ok((Lock::File, key)),
            None => self.make(home, KeySource::File),
        }
    }

    /// Prepares a key in a place. A systemd credential is not ours to make: it must be there.
    pub(super) fn make(&self, home: &Path, place: KeySource) -> Result<(Lock, Key), VaultError> {
        match place {
            KeySource::Systemd => match self.credential()? {
                Some(key) => Ok((Lock::Systemd, key)),
                None => Err(VaultError::KeyUnavailable {
                    why: format!(
                        "there is no systemd credential `{CREDENTIAL}`; make one with `openssl rand -hex 32 | \
                         systemd-creds encrypt --name={CREDENTIAL} - FILE`, name it in the unit as \
                         LoadCredentialEncrypted={CREDENTIAL}:FILE, and run this command by `systemd-run --pipe` with \
                         the same setting"
                    ),
                }),
            },
            KeySource::Keyring => {
                let key = random()?;
                keyring::write(home, &key)?;
                Ok((Lock::Keyring, key))
            }
            KeySource::Passphrase => {
                let lock = Lock::passphrase()?;
                let passphrase = self.ask()?;
                if passphrase.0.chars().count() < 8 {
                    let why = "a passphrase has at least 8 characters; several words are better".to_owned();
                    return Err(VaultError::KeyUnavailable { why });
                }
                let key = derive(&lock, &passphrase)?;
                Ok((lock, key))
            }
            KeySource::File => {
                let key = random()?;
                write_private(home, KEY_FILE, &*key.0)?;
                Ok((Lock::File, key))
            }
        }
    }

    fn ask(&self) -> Result<Passphrase, VaultError> {
        let hint = "the vault is locked with a passphrase; name a file that holds it in FACTOTUM_PASSPHRASE_FILE, or start \
                    from a terminal";
        let Some(ask) = &self.passphrase else { return Err(VaultError::KeyUnavailable { why: hint.to_owned() }) };
        ask().map_err(|why| VaultError::KeyUnavailable { why })
    }

    fn credential(&self) -> Result<Option<Key>, VaultError> {
        let Some(directory) = &self.credentials else { return Ok(None) };
        let path = directory.join(CREDENTIAL);
        // systemd guards the directory; the file's own mode is 0400 or, for services of a user, 0440.
        match std::fs::read(&path) {
            Ok(bytes) => parse_key(Zeroizing::new(bytes), &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(VaultError::Io { action: "read", path, source }),
        }
    }
}

impl Key {
    /// The key as text for the owner's own safe-keeping.
    pub fn recovery(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads [`Key::recovery`].
    pub fn from_recovery(text: &str) -> Result<Self, VaultError> {
        parse_key(Zeroizing::new(text.as_bytes().to_vec()), Path::new("the text"))
    }
}

fn random() -> Result<Key, VaultError> {
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    getrandom::fill(&mut *bytes).map_err(|_| VaultError::NoRandomness)?;
    Ok(Key(bytes))
}

fn read_key(path: &Path) -> Result<Option<Key>, VaultError> {
    match read_private(path, 4096)? {
        Some((_, bytes)) => parse_key(bytes, path).map(Some),
        None => Ok(None),
    }
}

/// 32 bytes as they are, or in hex with white space around.
fn parse_key(bytes: Zeroizing<Vec<u8>>, place: &Path) -> Result<Key, VaultError> {
    let damaged = || VaultError::KeyDamaged { place: place.display().to_string() };
    if let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()) {
        return Ok(Key(Zeroizing::new(key)));
    }
    let digits = bytes.trim_ascii();
    if digits.len() != 2 * KEY_BYTES {
        return Err(damaged());
    }
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
        *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(damaged)?;
    }
    Ok(Key(key))
}

fn derive(lock: &Lock, passphrase: &Passphrase) -> Result<Key, VaultError> {
    let unusable = || VaultError::KeyDamaged { place: "the vault's own header".to_owned() };
    let Lock::Passphrase { salt, memory_kib, passes, lanes } = lock else { return Err(unusable()) };
    if *memory_kib > MAX_MEMORY_KIB || *passes > MAX_PASSES || *lanes > MAX_LANES {
        return Err(unusable());
    }
    let salt = STANDARD.decode(salt).map_err(|_| unusable())?;
    let params = Params::new(*memory_kib, *passes, *lanes, Some(KEY_BYTES)).map_err(|_| unusable())?;
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.as_bytes(), &salt, &mut *key)
        .map_err(|_| unusable())?;
    Ok(Key(key))
}
