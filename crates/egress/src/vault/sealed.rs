//! The vault's file format: every secret sealed by itself with XChaCha20-Poly1305, its name bound to it. Pure: reading
//! and writing files is [`super::file`]'s part.
//!
//! Format 2 seals what is known of a secret together with its value, so that nobody without the key can change where it
//! may go. Format 1 sealed the value alone; it is read, and becomes format 2 with the next change.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};
use types::SecretName;
use zeroize::Zeroizing;

use super::{SecretValue, key::Key, key::Lock, secret::Secret};

/// The format that is written.
const FORMAT: u32 = 2;
const NONCE_BYTES: usize = 24;

/// All secrets of a vault, by name.
pub(super) type Secrets = BTreeMap<SecretName, Secret>;

/// Why the bytes of a vault could not be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// The bytes are not a vault.
    Malformed(String),
    /// A later version of the program wrote it.
    Newer(u32),
    /// No entry opens with this key.
    WrongKey,
    /// This entry alone does not open.
    Damaged(SecretName),
    /// The system gave no random numbers.
    NoRandomness,
}

/// A vault that was read but not opened.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    format: u32,
    /// Where its key is.
    #[serde(default)]
    pub key: Lock,
    entries: BTreeMap<SecretName, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    nonce: String,
    sealed: String,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Binds a value to its name, so that entries cannot be exchanged in the file.
fn associated(format: u32, name: &SecretName) -> Vec<u8> {
    format!("factotum vault {format}\0{name}").into_bytes()
}

/// Seals all secrets under fresh nonces.
pub(super) fn seal(key: &Key, lock: &Lock, secrets: &Secrets) -> Result<Vec<u8>, Unsealed> {
    let cipher = XChaCha20Poly1305::new((&*key.0).into());
    let mut entries = BTreeMap::new();
    for (name, secret) in secrets {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| Unsealed::NoRandomness)?;
        let plain = Zeroizing::new(serde_json::to_vec(secret).expect("a secret holds only strings and numbers"));
        let payload = Payload { msg: &plain, aad: &associated(FORMAT, name) };
        let sealed =
            cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("the cipher takes any value of this size");
        let entry = Entry { nonce: STANDARD.encode(nonce), sealed: STANDARD.encode(sealed) };
        entries.insert(name.clone(), entry);
    }
    let file = Sealed { format: FORMAT, key: lock.clone(), entries };
    let mut bytes = serde_json::to_vec_pretty(&file).expect("a vault holds only strings and numbers");
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads the outer part of a vault.
pub(super) fn parse(bytes: &[u8]) -> Result<Sealed, Unsealed> {
    // The position alone: the text of the error would repeat what stands there.
    let malformed =
        |error: serde_json::Error| Unsealed::Malformed(format!("line {}, column {}", error.line(), error.column()));
    let header: Header = serde_json::from_slice(bytes).map_err(malformed)?;
    if header.format == 0 || header.format > FORMAT {
        return Err(Unsealed::Newer(header.format));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

impl Sealed {
    /// Opens every entry. One that does not open fails the whole, so that nothing is lost by writing it back.
    pub fn open(self, key: &Key) -> Result<Secrets, Unsealed> {
        let cipher = XChaCha20Poly1305::new((&*key.0).into());
        let total = self.entries.len();
        let mut secrets = Secrets::new();
        let mut damaged = None;
        for (name, entry) in self.entries {
            match open(&cipher, self.format, &name, &entry) {
                Some(secret) => {
                    secrets.insert(name, secret);
                }
                None => damaged = Some(name),
            }
        }
        match damaged {
            None => Ok(secrets),
            Some(_) if secrets.is_empty() && total > 0 => Err(Unsealed::WrongKey),
            Some(name) => Err(Unsealed::Damaged(name)),
        }
    }
}

fn open(cipher: &XChaCha20Poly1305, format: u32, name: &SecretName, entry: &Entry) -> Option<Secret> {
    let nonce = STANDARD.decode(&entry.nonce).ok()?;
    let sealed = STANDARD.decode(&entry.sealed).ok()?;
    if nonce.len() != NONCE_BYTES {
        return None;
    }
    let payload = Payload { msg: &sealed, aad: &associated(format, name) };
    let plain = Zeroizing::new(cipher.decrypt(XNonce::from_slice(&nonce), payload).ok()?);
    if format == 1 {
        return SecretValue::new(std::str::from_utf8(&plain).ok()?).ok().map(Secret::bare);
    }
    serde_json::from_slice(&plain).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// What the first version wrote.
    fn first_format(key: &Key, name: &SecretName, value: &str) -> Vec<u8> {
        let cipher = XChaCha20Poly1305::new((&*key.0).into());
        let payload = Payload { msg: value.as_bytes(), aad: &associated(1, name) };
        let sealed = cipher.encrypt(XNonce::from_slice(&[7; NONCE_BYTES]), payload).unwrap();
        let entry = serde_json::json!({"nonce": STANDARD.encode([7; NONCE_BYTES]), "sealed": STANDARD.encode(sealed)});
        serde_json::json!({"format": 1, "entries": {name.as_str(): entry}}).to_string().into_bytes()
    }

    #[test]
    fn a_vault_of_the_first_format_is_read_and_written_as_the_second() {
        let key = Key(Zeroizing::new([3; 32]));
        let name = SecretName::new("a").unwrap();
        let secrets = parse(&first_format(&key, &name, "hunter2")).unwrap().open(&key).unwrap();
        assert_eq!(secrets[&name].value.expose(), "hunter2");
        assert!(secrets[&name].bindings.is_empty() && secrets[&name].created.is_none());
        let bytes = seal(&key, &Lock::File, &secrets).unwrap();
        let again = parse(&bytes).unwrap();
        assert_eq!(again.format, 2);
        assert_eq!(again.open(&key).unwrap()[&name].value.expose(), "hunter2");
    }

    #[test]
    fn an_entry_of_one_format_does_not_open_as_the_other() {
        let key = Key(Zeroizing::new([3; 32]));
        let name = SecretName::new("a").unwrap();
        // A value that is itself a secret's text must not become one.
        let text = r#"{"value":"forged","bindings":[]}"#;
        let mut file: serde_json::Value = serde_json::from_slice(&first_format(&key, &name, text)).unwrap();
        file["format"] = 2.into();
        assert_eq!(parse(file.to_string().as_bytes()).unwrap().open(&key).err(), Some(Unsealed::WrongKey));
    }
}
