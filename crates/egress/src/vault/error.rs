//! What can go wrong with the vault.

use std::{io, path::PathBuf};

use types::SecretName;

use super::{InvalidBinding, KeySource};

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
    #[error("the vault's key is missing: {why}")]
    KeyMissing {
        /// Where it should be, and what to do.
        why: String,
    },
    /// The key has the wrong length.
    #[error("{place} holds no key: it must be 32 bytes, or 64 hexadecimal digits; restore it from a backup")]
    KeyDamaged {
        /// Where the key is.
        place: String,
    },
    /// The key opens no entry.
    #[error(
        "{path} cannot be opened with {place}: the key is another vault's, or the file is damaged; restore both from the \
         same backup",
        path = path.display()
    )]
    WrongKey {
        /// The vault.
        path: PathBuf,
        /// Where the key came from.
        place: KeySource,
    },
    /// No passphrase was given, or a place for keys cannot be used.
    #[error("{why}")]
    KeyUnavailable {
        /// What is missing and what to do.
        why: String,
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
    #[error("the vault is full: it holds 256 secrets or 64 MiB; remove one first")]
    Full,
    /// There is no such secret.
    #[error("there is no secret named `{name}`; set it with `factotum secret set {name}`")]
    Missing {
        /// The name that was asked for.
        name: SecretName,
    },
    /// The secret was seen where it must not be.
    #[error(
        "the secret `{name}` is dead and is not used: {why}; revoke it where it was issued, then give the new one with \
         `factotum secret rotate {name}`"
    )]
    Dead {
        /// Its name.
        name: SecretName,
        /// What happened.
        why: String,
    },
    /// A value that is known to have leaked, or that the secret has already.
    #[error("this value of `{name}` {why}; give the one that was issued in its place")]
    OldValue {
        /// The name it was given for.
        name: SecretName,
        /// What is known of the value.
        why: &'static str,
    },
    /// A binding, or a name for the environment, that cannot be kept.
    #[error(transparent)]
    Binding(#[from] InvalidBinding),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
}
