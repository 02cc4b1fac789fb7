//! The vault's secrets in fetches: each goes into the header that its binding names, of a request to the host, port, method
//! and path that the binding names, and is masked in what comes back. Must not put a secret anywhere else.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use types::SecretName;

use super::{Credentials, SecretHeader};
use crate::{
    Vault, VaultError,
    target::WebTarget,
    vault::{Binding, CredentialSlot, SecretValue},
};

/// What stands before a secret in `Authorization: Basic` where the binding names no user.
const ANY_USER: &str = "factotum";

/// The secrets of a vault that one workspace may use.
pub struct VaultCredentials {
    vault: Vault,
    allowed: BTreeSet<SecretName>,
}

impl VaultCredentials {
    /// Those of `vault` that are named in `allowed`.
    pub fn new(vault: Vault, allowed: BTreeSet<SecretName>) -> Self {
        Self { vault, allowed }
    }

    fn binding(&self, name: &SecretName, method: &str, to: &WebTarget) -> Result<Option<Binding>, VaultError> {
        let bound = self.vault.bound()?;
        let bindings = bound.iter().filter(|secret| secret.name == *name).flat_map(|secret| &secret.bindings);
        let mut fitting = bindings.filter(|binding| binding.allows(&to.target, method, &to.path));
        Ok(fitting.next().cloned())
    }
}

impl Credentials for VaultCredentials {
    fn header(&self, name: &SecretName, method: &str, to: &WebTarget) -> Result<Option<SecretHeader>, VaultError> {
        if !self.allowed.contains(name) {
            return Ok(None);
        }
        match self.binding(name, method, to)? {
            Some(binding) => Ok(fill(&binding.slot, &self.vault.value(name)?)),
            None => Ok(None),
        }
    }

    fn mask(&self, bytes: &mut Vec<u8>, is_whole: bool) {
        let redactor = self.vault.redactor();
        if is_whole {
            redactor.mask(bytes);
        } else {
            let settled = redactor.mask_settled(bytes);
            bytes.truncate(settled);
        }
    }
}

/// The header with the value in it; none where the value cannot stand in a header.
fn fill(slot: &CredentialSlot, value: &SecretValue) -> Option<SecretHeader> {
    let (name, text) = match slot {
        CredentialSlot::Header { name, prefix } => {
            (name.parse::<HeaderName>().ok()?, format!("{prefix}{}", value.expose()))
        }
        CredentialSlot::Basic { user } => {
            let pair = format!("{}:{}", user.as_deref().unwrap_or(ANY_USER), value.expose());
            (AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
        }
    };
    Some(SecretHeader { name, value: HeaderValue::from_str(&text).ok()? })
}
