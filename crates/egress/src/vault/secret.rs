//! One secret: its value, where it may go, and what happened to it.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::{SecretName, Timestamp};
use zeroize::Zeroizing;

use super::{Binding, InvalidBinding, VaultError, binding::invalid};

/// The most bytes a value may have.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// How many earlier values of one secret are kept, so that they stay masked.
const MAX_RETIRED: usize = 8;
/// The most bindings of one secret.
const MAX_BINDINGS: usize = 64;
/// The longest text on why a secret died, in bytes.
const MAX_REASON: usize = 500;

/// The value of a secret. Never printed, and overwritten in memory when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes a value of 1 byte to 64 KiB. Whoever reads it from a terminal or a pipe trims the line's end.
    pub fn new(value: impl Into<String>) -> Result<Self, VaultError> {
        let value = Zeroizing::new(value.into());
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

impl TryFrom<String> for SecretValue {
    type Error = VaultError;
    fn try_from(value: String) -> Result<Self, VaultError> {
        Self::new(value)
    }
}

impl From<SecretValue> for String {
    /// For sealing alone: the caller overwrites it.
    fn from(value: SecretValue) -> Self {
        value.expose().to_owned()
    }
}

/// The name of an environment variable that shows a sandbox's placeholder to programs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

impl EnvName {
    /// Takes letters in upper case, digits and `_`, at most 64 and not beginning with a digit. Names that change how
    /// programs are loaded or found are refused.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidBinding> {
        let name = name.into();
        let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !starts || name.len() > 64 || !name.bytes().all(is_plain) {
            return Err(invalid("the variable", &name, "must be letters in upper case, digits and `_`"));
        }
        let reserved = ["PATH", "HOME", "SHELL", "IFS", "ENV", "TMPDIR", "USER", "PYTHONPATH", "NODE_OPTIONS"];
        if reserved.contains(&name.as_str()) || ["LD_", "GIT_", "BASH_"].iter().any(|prefix| name.starts_with(prefix)) {
            return Err(invalid("the variable", &name, "changes how programs run"));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EnvName {
    type Error = InvalidBinding;
    fn try_from(name: String) -> Result<Self, InvalidBinding> {
        Self::new(name)
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

impl std::str::FromStr for EnvName {
    type Err = InvalidBinding;
    fn from_str(name: &str) -> Result<Self, InvalidBinding> {
        Self::new(name)
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// That a secret was seen where it must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// When that was noticed.
    pub since: Timestamp,
    /// What happened, in a fragment without the value.
    pub why: String,
    /// Where it was seen, such as `workspace main, notes.txt line 3`.
    pub place: String,
}

impl Dead {
    /// A death at `since`; texts are cut to a bound.
    pub fn new(since: Timestamp, why: &str, place: &str) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_REASON)].to_owned();
        Self { since, why: cut(why), place: cut(place) }
    }
}

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.why),
            place => write!(f, "{} ({place})", self.why),
        }
    }
}

/// What may be told of a secret: everything but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// Where it may go.
    pub bindings: Vec<Binding>,
    /// The variable that shows a placeholder for it in sandboxes.
    pub env: Option<EnvName>,
    /// When it was first set; unknown for one from the first format.
    pub created: Option<Timestamp>,
    /// When its value was last replaced.
    pub rotated: Option<Timestamp>,
    /// Set when it was seen where it must not be; it is refused from then on.
    pub dead: Option<Dead>,
}

/// An earlier value. It may still be good at its issuer, so it stays masked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retired {
    pub value: SecretValue,
    /// Whether it had been seen where it must not be.
    pub leaked: bool,
}

/// All that is kept of one secret, as it is sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    pub value: SecretValue,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<Dead>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
}

impl Secret {
    /// A secret of which only the value is known.
    pub fn bare(value: SecretValue) -> Self {
        Self { value, bindings: Vec::new(), env: None, created: None, rotated: None, dead: None, retired: Vec::new() }
    }

    pub fn info(&self, name: &SecretName) -> SecretInfo {
        SecretInfo {
            name: name.clone(),
            bindings: self.bindings.clone(),
            env: self.env.clone(),
            created: self.created,
            rotated: self.rotated,
            dead: self.dead.clone(),
        }
    }

    /// Puts another value in the place of this one, which stays known. Brings a dead secret back to life, unless the
    /// value is one that leaked. Setting the present value again changes nothing.
    pub fn replace(&mut self, name: &SecretName, value: SecretValue, now: Timestamp) -> Result<(), VaultError> {
        let refused = |why| VaultError::OldValue { name: name.clone(), why };
        if self.retired.iter().any(|old| old.leaked && old.value == value) {
            return Err(refused("was seen where it must not be"));
        }
        if self.value == value {
            return if self.dead.is_some() { Err(refused("was seen where it must not be")) } else { Ok(()) };
        }
        let leaked = self.dead.take().is_some();
        let old = std::mem::replace(&mut self.value, value);
        self.retired.retain(|retired| retired.value != self.value && retired.value != old);
        self.retired.push(Retired { value: old, leaked });
        while self.retired.len() > MAX_RETIRED || self.retired_bytes() > MAX_VALUE_BYTES {
            self.retired.remove(0);
        }
        self.rotated = Some(now);
        Ok(())
    }

    fn retired_bytes(&self) -> usize {
        self.retired.iter().map(|old| old.value.expose().len()).sum()
    }

    /// Checks what was given from outside.
    pub fn check(&self) -> Result<(), VaultError> {
        if self.bindings.len() > MAX_BINDINGS {
            return Err(invalid("the bindings", "", "are more than 64").into());
        }
        self.bindings.iter().try_for_each(Binding::check)?;
        Ok(())
    }
}
