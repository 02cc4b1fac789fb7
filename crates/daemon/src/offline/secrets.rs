//! Secrets: storing, listing, binding, replacing, declaring dead; and the place of the vault's key. A running daemon
//! notices each change by the file.

use std::{path::Path, sync::Arc};

use egress::{
    Binding, CredentialSlot, Dead, EnvName, GithubRepository, KeySource, Passphrase, PathPattern, SecretInfo,
    SecretSettings, SecretValue, Vault, VaultError,
};
use types::{Clock, Failure, FailureKind, SecretName, Timestamp};

use crate::{Home, SystemClock, failure::user};

/// Where a secret may go, as it is written on a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// `HOST` or `HOST:PORT`; each with all methods, paths and the header below.
    pub hosts: Vec<String>,
    /// Methods such as `GET`; all when empty.
    pub methods: Vec<String>,
    /// Patterns of paths such as `/v1/**`; all when empty.
    pub paths: Vec<String>,
    /// `NAME: PREFIX`, such as `Authorization: Bearer` or `x-api-key:`.
    pub header: Option<String>,
    /// As the password of `Authorization: Basic`, of this user or of any (`*`).
    pub basic: Option<String>,
    /// `OWNER/REPO` or `OWNER/REPO:rw` on GitHub.
    pub github: Vec<String>,
    /// The variable that shows a placeholder to programs in sandboxes.
    pub env: Option<String>,
}

/// A secret as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SecretView {
    /// Its name.
    pub name: SecretName,
    /// Where it may go, each in words.
    pub bindings: Vec<String>,
    /// The variable that shows a placeholder for it.
    pub env: Option<String>,
    /// When it was first set.
    pub created: Option<Timestamp>,
    /// When its value was last replaced.
    pub rotated: Option<Timestamp>,
    /// Set when it was seen where it must not be.
    pub dead: Option<DeadView>,
}

/// Why a secret is refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeadView {
    /// Since when.
    pub since: Timestamp,
    /// What happened, and where.
    pub why: String,
}

impl SecretsView {
    /// The names alone.
    pub fn names(&self) -> Vec<&str> {
        self.secrets.iter().map(|secret| secret.name.as_str()).collect()
    }
}

/// All secrets and the place of their key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SecretsView {
    /// Where the vault's key is; none while there is no vault.
    pub key: Option<KeySource>,
    /// The secrets, by name.
    pub secrets: Vec<SecretView>,
}

impl From<SecretInfo> for SecretView {
    fn from(info: SecretInfo) -> Self {
        let dead = |dead: Dead| DeadView { since: dead.since, why: dead.to_string() };
        Self {
            name: info.name,
            bindings: info.bindings.iter().map(ToString::to_string).collect(),
            env: info.env.map(String::from),
            created: info.created,
            rotated: info.rotated,
            dead: info.dead.map(dead),
        }
    }
}

impl BindOptions {
    /// What is to change; a mistake is the user's.
    fn settings(&self) -> Result<SecretSettings, Failure> {
        let refused = |error: String| {
            user(
                error,
                "like --bind api.example.com --path '/v1/**' --header 'Authorization: Bearer', or --github a/b:rw",
            )
        };
        let mut bindings = Vec::new();
        let paths = self.paths.iter().map(|path| PathPattern::parse(path).map_err(|error| refused(error.to_string())));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let slot = self.slot().map_err(refused)?;
        for host in &self.hosts {
            let binding = Binding::to(host).map_err(|error| refused(error.to_string()))?;
            let methods = self.methods.iter().map(|method| method.to_ascii_uppercase()).collect();
            let binding = Binding { methods, paths: paths.clone(), slot: slot.clone(), ..binding };
            binding.check().map_err(|error| refused(error.to_string()))?;
            bindings.push(binding);
        }
        for repository in &self.github {
            let repository: GithubRepository =
                repository.parse().map_err(|error: egress::InvalidBinding| refused(error.to_string()))?;
            bindings.extend(repository.bindings());
        }
        let narrows =
            !self.methods.is_empty() || !self.paths.is_empty() || self.header.is_some() || self.basic.is_some();
        if self.hosts.is_empty() && narrows {
            return Err(refused("methods, paths and headers belong to a --bind".to_owned()));
        }
        let env = self.env.as_deref().map(EnvName::new).transpose().map_err(|error| refused(error.to_string()))?;
        Ok(SecretSettings { bindings: (!bindings.is_empty()).then_some(bindings), env })
    }

    fn slot(&self) -> Result<CredentialSlot, String> {
        match (&self.header, &self.basic) {
            (Some(_), Some(_)) => Err("a secret goes into one header: give --header or --basic".to_owned()),
            (None, None) => Ok(CredentialSlot::bearer()),
            (None, Some(name)) => {
                Ok(CredentialSlot::Basic { user: Some(name.clone()).filter(|name| name != "*" && !name.is_empty()) })
            }
            (Some(header), None) => {
                let (name, prefix) = header.split_once(':').unwrap_or((header, ""));
                let prefix = match prefix.trim() {
                    "" => String::new(),
                    scheme => format!("{scheme} "),
                };
                Ok(CredentialSlot::Header { name: name.trim().to_ascii_lowercase(), prefix })
            }
        }
    }
}

/// Stores a secret. `value` loses one trailing line break, since it usually comes from a pipe. The home is made when it
/// is missing, but not for a value or a binding that is refused.
pub fn secret_set(home: &Path, name: &SecretName, value: Vec<u8>) -> Result<(), Failure> {
    secret_put(home, name, value, &BindOptions::default())
}

/// As [`secret_set`], and says where the secret may go.
pub fn secret_put(home: &Path, name: &SecretName, value: Vec<u8>, options: &BindOptions) -> Result<(), Failure> {
    let (value, settings) = (secret_value(value)?, options.settings()?);
    let home = Home::open(home).map_err(|error| error.failure())?;
    let vault = Vault::open(home.path()).map_err(vault_failure)?;
    vault.put(name, value, settings, now()).map_err(vault_failure)
}

/// Changes where a secret may go, and leaves its value.
pub fn secret_bind(home: &Path, name: &SecretName, options: &BindOptions) -> Result<(), Failure> {
    let settings = options.settings()?;
    existing(home, name)?.configure(name, settings).map_err(vault_failure)
}

/// Puts another value in the place of a secret's. The old one stays masked.
pub fn secret_rotate(home: &Path, name: &SecretName, value: Vec<u8>) -> Result<(), Failure> {
    let value = secret_value(value)?;
    existing(home, name)?.rotate(name, value, now()).map_err(vault_failure)
}

/// Refuses a secret from here on. False when it was dead already.
pub fn secret_dead(home: &Path, name: &SecretName, why: &str) -> Result<bool, Failure> {
    let why: String = why.chars().filter(|character| !character.is_control()).collect();
    if why.trim().is_empty() {
        return Err(user(
            "there is no reason",
            "say in --why what happened; it is shown wherever the secret is refused",
        ));
    }
    existing(home, name)?.mark_dead(name, Dead::new(now(), &why, "")).map_err(vault_failure)
}

/// Whether a value can be stored as a secret; the error says what is wrong with it and nothing of the value.
pub fn secret_check(value: &[u8]) -> Result<(), Failure> {
    secret_value(value.to_vec()).map(|_| ())
}

/// The stored secrets, without their values.
pub fn secret_list(home: &Path) -> Result<SecretsView, Failure> {
    if !home.is_dir() {
        return Ok(SecretsView { key: None, secrets: Vec::new() });
    }
    let vault = Vault::open(home).map_err(vault_failure)?;
    let key = vault.key_source().map_err(vault_failure)?;
    let secrets = vault.list().map_err(vault_failure)?.into_iter().map(SecretView::from).collect();
    Ok(SecretsView { key, secrets })
}

/// Removes a secret; false when there was none.
pub fn secret_remove(home: &Path, name: &SecretName) -> Result<bool, Failure> {
    if !home.is_dir() {
        return Ok(false);
    }
    match Vault::open(home).and_then(|vault| vault.remove(name)) {
        Ok(()) => Ok(true),
        Err(VaultError::Missing { .. }) => Ok(false),
        Err(error) => Err(vault_failure(error)),
    }
}

/// Seals the vault with a new key in another place. `passphrase` is for that place alone. Gives the recovery key of the
/// kernel's keyring, which is told once.
pub fn secret_key_move(
    home: &Path,
    place: KeySource,
    passphrase: Option<Passphrase>,
) -> Result<Option<String>, Failure> {
    let home = Home::existing(home).map_err(|error| error.failure())?;
    let vault = Vault::open(home.path()).map_err(vault_failure)?;
    let ask: Option<egress::AskPassphrase> = passphrase.map(|passphrase| {
        let ask: egress::AskPassphrase = Arc::new(move || Ok(passphrase.clone()));
        ask
    });
    vault.reseal(place, ask).map_err(vault_failure)
}

/// Puts the recovery key back into the kernel's keyring.
pub fn secret_key_restore(home: &Path, recovery: &str) -> Result<(), Failure> {
    let home = Home::existing(home).map_err(|error| error.failure())?;
    Vault::restore_key(home.path(), recovery).map_err(vault_failure)
}

/// One line of text. A key or token never holds a control character; one that does came from the wrong file, and no
/// header could carry it. The error says where, and nothing of the value.
pub(super) fn secret_value(value: Vec<u8>) -> Result<SecretValue, Failure> {
    let hint = "give the secret as text on standard input";
    let text = String::from_utf8(value).map_err(|_| user("the secret is not valid UTF-8", hint))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if let Some(place) = text.find(char::is_control) {
        let what = if text[place..].starts_with(['\n', '\r']) { "a line break" } else { "a control character" };
        let hint = "give the one line of the key or token, without colours, tabs or further lines";
        return Err(user(format!("the secret holds {what} at byte {place}"), hint));
    }
    SecretValue::new(text).map_err(|error| user(error.to_string(), hint))
}

pub(super) fn vault_failure(error: VaultError) -> Failure {
    let by_user = |hint: &str| user(error.to_string(), hint);
    match &error {
        VaultError::Missing { .. } => by_user("`factotum secret list` names them"),
        VaultError::OldValue { .. } => by_user("the issuer's page shows a new one once, when it is made"),
        VaultError::Empty | VaultError::TooLong | VaultError::Full | VaultError::Binding(_) => {
            by_user("see `factotum secret set --help`")
        }
        VaultError::Dead { .. } => by_user("revoke it first, then rotate it"),
        VaultError::Io { .. }
        | VaultError::Exposed { .. }
        | VaultError::KeyMissing { .. }
        | VaultError::KeyDamaged { .. }
        | VaultError::WrongKey { .. }
        | VaultError::KeyUnavailable { .. }
        | VaultError::Corrupt { .. }
        | VaultError::Newer { .. }
        | VaultError::NoRandomness => Failure {
            kind: FailureKind::Config,
            error: error.to_string(),
            hint: Some("look at the files `vault` and `vault.key` in the home directory".to_owned()),
        },
    }
}

/// The vault of a home that has this secret.
fn existing(home: &Path, name: &SecretName) -> Result<Vault, Failure> {
    let missing = || vault_failure(VaultError::Missing { name: name.clone() });
    if !home.is_dir() {
        return Err(missing());
    }
    let vault = Vault::open(home).map_err(vault_failure)?;
    if vault.contains(name).map_err(vault_failure)? { Ok(vault) } else { Err(missing()) }
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_of_text() {
        let home = tempfile::tempdir().unwrap();
        let name = SecretName::new("key").unwrap();
        let long = vec![b'x'; (64 << 10) + 1];
        let cases: [&[u8]; 8] = [b"", b"\n", b"a\0b", b"a\nb\n", b"a\n\n", b"a\tb", b"\x1b[31mred", b"caf\xe9"];
        let set = |value: &[u8]| secret_set(home.path(), &name, value.to_vec());
        for bad in cases.into_iter().chain([long.as_slice()]) {
            let failure = set(bad).unwrap_err();
            assert_eq!(failure.kind, FailureKind::User, "{failure:?}");
            assert!(failure.hint.is_some() && !failure.error.contains("red"), "{failure:?}");
        }
        assert!(secret_list(home.path()).unwrap().secrets.is_empty(), "a refused secret was stored");
        for good in [&b"key"[..], b"key\n", b"key\r\n", "k\u{e9}y".as_bytes()] {
            set(good).unwrap();
        }
    }

    #[test]
    fn bindings_are_read_as_they_are_written() {
        let options = BindOptions {
            hosts: vec!["api.example.com".to_owned(), "files.example.com:8443".to_owned()],
            methods: vec!["get".to_owned()],
            paths: vec!["/v1/**".to_owned()],
            header: Some("X-API-Key:".to_owned()),
            env: Some("EXAMPLE_KEY".to_owned()),
            ..BindOptions::default()
        };
        let settings = options.settings().unwrap();
        let words: Vec<String> = settings.bindings.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(words[1], "GET files.example.com:8443/v1/** as x-api-key: ...");
        let wrong = [
            BindOptions { paths: vec!["/a".to_owned()], ..BindOptions::default() },
            BindOptions { hosts: vec!["*".to_owned()], ..BindOptions::default() },
            BindOptions { github: vec!["a".to_owned()], ..BindOptions::default() },
            BindOptions { env: Some("PATH".to_owned()), ..BindOptions::default() },
            BindOptions { basic: Some("me".to_owned()), ..options.clone() },
            BindOptions { header: Some("host:".to_owned()), ..options },
        ];
        for options in wrong {
            assert_eq!(options.settings().unwrap_err().kind, FailureKind::User, "{options:?}");
        }
    }
}
