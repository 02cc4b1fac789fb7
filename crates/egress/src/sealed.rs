//! The vault's file format: every value sealed by itself with XChaCha20-Poly1305, its name bound to it. Pure: reading
//! and writing files is [`crate::vault`]'s part.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};
use types::SecretName;

use crate::SecretValue;

/// The only format there is.
const FORMAT: u32 = 1;
/// The length of the key in bytes.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The vault's key. Never shown.
pub(crate) struct Key(pub [u8; KEY_BYTES]);

/// Why the bytes of a vault could not be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsealed {
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
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
fn associated(name: &SecretName) -> Vec<u8> {
    let mut data = b"factotum vault 1\0".to_vec();
    data.extend_from_slice(name.as_str().as_bytes());
    data
}

/// Seals all values under fresh nonces.
pub(crate) fn seal(key: &Key, values: &BTreeMap<SecretName, SecretValue>) -> Result<Vec<u8>, Unsealed> {
    let cipher = XChaCha20Poly1305::new((&key.0).into());
    let mut entries = BTreeMap::new();
    for (name, value) in values {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| Unsealed::NoRandomness)?;
        let payload = Payload { msg: value.expose().as_bytes(), aad: &associated(name) };
        let sealed =
            cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("the cipher takes any value of this size");
        let entry = Entry { nonce: STANDARD.encode(nonce), sealed: STANDARD.encode(sealed) };
        entries.insert(name.clone(), entry);
    }
    let mut bytes =
        serde_json::to_vec_pretty(&File { format: FORMAT, entries }).expect("a vault holds only strings and numbers");
    bytes.push(b'\n');
    Ok(bytes)
}

/// Opens every entry. One that does not open fails the whole, so that nothing is lost by writing it back.
pub(crate) fn unseal(key: &Key, bytes: &[u8]) -> Result<BTreeMap<SecretName, SecretValue>, Unsealed> {
    // The position alone: the text of the error would repeat what stands there.
    let malformed =
        |error: serde_json::Error| Unsealed::Malformed(format!("line {}, column {}", error.line(), error.column()));
    let header: Header = serde_json::from_slice(bytes).map_err(malformed)?;
    if header.format != FORMAT {
        return Err(Unsealed::Newer(header.format));
    }
    let file: File = serde_json::from_slice(bytes).map_err(malformed)?;
    let cipher = XChaCha20Poly1305::new((&key.0).into());
    let total = file.entries.len();
    let mut values = BTreeMap::new();
    let mut damaged = None;
    for (name, entry) in file.entries {
        match open(&cipher, &name, &entry) {
            Some(value) => {
                values.insert(name, value);
            }
            None => damaged = Some(name),
        }
    }
    match damaged {
        None => Ok(values),
        Some(_) if values.is_empty() && total > 0 => Err(Unsealed::WrongKey),
        Some(name) => Err(Unsealed::Damaged(name)),
    }
}

fn open(cipher: &XChaCha20Poly1305, name: &SecretName, entry: &Entry) -> Option<SecretValue> {
    let nonce = STANDARD.decode(&entry.nonce).ok()?;
    let sealed = STANDARD.decode(&entry.sealed).ok()?;
    if nonce.len() != NONCE_BYTES {
        return None;
    }
    let payload = Payload { msg: &sealed, aad: &associated(name) };
    let plain = cipher.decrypt(XNonce::from_slice(&nonce), payload).ok()?;
    SecretValue::new(String::from_utf8(plain).ok()?).ok()
}
