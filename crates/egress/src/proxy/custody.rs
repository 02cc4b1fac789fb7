//! What of a sandbox's proxy must outlive the daemon: its authority, which programs inside trust, and its placeholders,
//! which they hold. Handed to the sandbox's supervisor as bytes that mean nothing to it, and taken back by the next daemon.
//! It holds no secret of the vault; still it must never be written to a disk or a log, since whoever has it can play any
//! host towards that one sandbox.

use serde::{Deserialize, Serialize};
use types::SecretName;
use zeroize::{Zeroize, Zeroizing};

use super::{CaError, Placeholders, SandboxCa};

/// The form of the bytes. A daemon that knows another one refuses them.
const VERSION: u32 = 1;
/// More than any custody has, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The bytes. Overwritten when dropped; not shown by `Debug`.
pub struct Custody(Zeroizing<Vec<u8>>);

/// Why bytes could not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// They are not what a daemon of this version wrote.
    #[error("what the supervisor kept for the sandbox's proxy is of another version or damaged")]
    Unreadable,
    /// The authority in them cannot be used.
    #[error(transparent)]
    Authority(#[from] CaError),
}

#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    /// PKCS #8, in hexadecimal.
    key: String,
    /// DER, in hexadecimal.
    certificate: String,
    placeholders: Vec<Held>,
}

/// A placeholder: what it stands for, and the variable that shows it.
#[derive(Serialize, Deserialize)]
struct Held {
    secret: SecretName,
    text: String,
    variable: Option<String>,
}

impl Drop for Form {
    fn drop(&mut self) {
        self.key.zeroize();
        self.placeholders.iter_mut().for_each(|held| held.text.zeroize());
    }
}

impl Custody {
    /// What must be kept of these two.
    pub fn of(ca: &SandboxCa, placeholders: &Placeholders) -> Self {
        let held = |(secret, text, variable): (&SecretName, &str, Option<&str>)| Held {
            secret: secret.clone(),
            text: text.to_owned(),
            variable: variable.map(str::to_owned),
        };
        let (key, certificate) = ca.export();
        let form = Form {
            version: VERSION,
            key: hex::encode(&key),
            certificate: hex::encode(certificate),
            placeholders: placeholders.all().map(held).collect(),
        };
        Self(Zeroizing::new(serde_json::to_vec(&form).expect("the form holds only text and numbers")))
    }

    /// The bytes that the supervisor keeps.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The authority and the placeholders again, from what a supervisor kept.
    pub fn restore(bytes: &[u8]) -> Result<(SandboxCa, Placeholders), CustodyError> {
        if bytes.len() > MAX_BYTES {
            return Err(CustodyError::Unreadable);
        }
        let mut form: Form = serde_json::from_slice(bytes).map_err(|_| CustodyError::Unreadable)?;
        if form.version != VERSION {
            return Err(CustodyError::Unreadable);
        }
        let key = Zeroizing::new(hex::decode(form.key.as_bytes()).map_err(|_| CustodyError::Unreadable)?);
        let certificate = hex::decode(&form.certificate).map_err(|_| CustodyError::Unreadable)?;
        let ca = SandboxCa::restore(&key, certificate)?;
        let held = std::mem::take(&mut form.placeholders).into_iter();
        let held = held.map(|held| (held.secret, held.text, held.variable));
        let placeholders = Placeholders::restored(held).ok_or(CustodyError::Unreadable)?;
        Ok((ca, placeholders))
    }
}

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custody").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use types::Timestamp;

    use super::*;

    fn made() -> (SandboxCa, Placeholders) {
        let secret = SecretName::new("vendor-key").unwrap();
        let placeholders = Placeholders::new([(secret, Some("VENDOR_KEY".to_owned()))]).unwrap();
        (SandboxCa::new(Timestamp(1_800_000_000_000)).unwrap(), placeholders)
    }

    #[test]
    fn what_comes_back_is_what_programs_inside_hold() {
        let (ca, placeholders) = made();
        let custody = Custody::of(&ca, &placeholders);
        let (again, held) = Custody::restore(custody.bytes()).unwrap();
        assert_eq!(again.pem(), ca.pem());
        assert_eq!(held.environment(), placeholders.environment());
        let twice = Custody::of(&again, &held);
        assert!(twice.bytes() == custody.bytes(), "a third daemon gets the same");
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_shown() {
        let (ca, placeholders) = made();
        let custody = Custody::of(&ca, &placeholders);
        assert_eq!(format!("{custody:?}"), "Custody { .. }");
        let text = String::from_utf8(custody.bytes().to_vec()).unwrap();
        let cut = &custody.bytes()[..custody.bytes().len() / 2];
        for bad in [
            b"".to_vec(),
            b"{}".to_vec(),
            cut.to_vec(),
            text.replace("\"version\":1", "\"version\":2").into_bytes(),
            text.replace("\"key\":\"", "\"key\":\"00").into_bytes(),
            text.replace("fph_", "x").into_bytes(),
            vec![b' '; MAX_BYTES + 1],
        ] {
            assert!(Custody::restore(&bad).is_err());
        }
    }
}
