//! The second factor's secret. Like every secret it stays in the vault: what leaves is whether a code is right.

use policy::totp::{self, Secret};
use types::{SecretName, Timestamp};

use crate::{SecretValue, Vault, VaultError};

/// The name under which the vault keeps the secret.
const NAME: &str = "factotum-totp";

/// Checks codes. It shows nothing of its secret.
#[derive(Debug)]
pub struct SecondFactorKey(Secret);

impl SecondFactorKey {
    /// Reads a secret in base32 that a client sends to set the second factor up; none when it is not 20 bytes.
    pub fn read(base32: &str) -> Option<Self> {
        Secret::read(base32).map(Self)
    }

    /// The step whose code this is, if it is one of about now that comes after `used`.
    pub fn verify(&self, code: &str, seconds: u64, used: Option<u64>) -> Option<u64> {
        totp::verify(&self.0, code, seconds, used)
    }
}

impl Vault {
    /// The second factor's key; none when the vault holds none.
    pub fn second_factor_key(&self) -> Result<Option<SecondFactorKey>, VaultError> {
        match self.value(&name()) {
            Ok(value) => Ok(SecondFactorKey::read(value.expose())),
            Err(VaultError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the second factor's key, in place of one before.
    pub fn set_second_factor_key(&self, key: &SecondFactorKey, now: Timestamp) -> Result<(), VaultError> {
        self.set(&name(), SecretValue::new(key.0.base32())?, now)
    }

    /// Forgets the second factor's key.
    pub fn remove_second_factor_key(&self) -> Result<(), VaultError> {
        match self.remove(&name()) {
            Ok(()) | Err(VaultError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn name() -> SecretName {
    SecretName::new(NAME).expect("the literal is a valid name")
}
