//! Which credentials of a request go out. A sandbox holds placeholders; the real value takes the place of one in the bound
//! header of a request to the bound host, port, method and path, and nowhere else. Whatever else looks like a credential
//! is removed from requests to such a host, so that it is no drop box for somebody else's account. Must not look at bodies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use types::{Invariant, SecretName};
use zeroize::Zeroizing;

use crate::{
    path::RequestPath,
    target::Target,
    vault::{Binding, CredentialSlot, SecretInfo, Vault, VaultError},
};

/// What every placeholder begins with.
const PREFIX: &str = "fph_";
/// Programs pad base64, or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Headers that carry a credential to some service.
const CREDENTIAL_HEADERS: [&str; 17] = [
    "api-key",
    "apikey",
    "authentication",
    "authorization",
    "cookie",
    "job-token",
    "ocp-apim-subscription-key",
    "private-token",
    "proxy-authorization",
    "token",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-authorization",
    "x-csrf-token",
    "x-goog-api-key",
];

/// What the name of a header that carries a credential may end with, with something before it.
const CREDENTIAL_ENDINGS: [&str; 6] = ["-api-key", "-apikey", "-auth", "-authorization", "-secret", "-token"];

/// Parameters of a query that carry a credential to some service, without case, `-` and `_`.
const CREDENTIAL_PARAMETERS: [&str; 25] = [
    "accesskey",
    "accesskeyid",
    "accesstoken",
    "apikey",
    "apitoken",
    "auth",
    "authkey",
    "authorization",
    "authtoken",
    "awsaccesskeyid",
    "bearertoken",
    "clientsecret",
    "googleaccessid",
    "idtoken",
    "jwt",
    "key",
    "oauthtoken",
    "password",
    "privatetoken",
    "refreshtoken",
    "secret",
    "sig",
    "signature",
    "subscriptionkey",
    "token",
];

/// The random texts that stand for secrets in one sandbox.
pub struct Placeholders(Vec<Placeholder>);

struct Placeholder {
    secret: SecretName,
    text: String,
    variable: Option<String>,
}

impl Placeholders {
    /// New placeholders for these secrets, each with the environment variable that is to show it.
    pub fn new(secrets: impl IntoIterator<Item = (SecretName, Option<String>)>) -> Result<Self, VaultError> {
        let placeholder = |(secret, variable)| {
            let mut random = [0_u8; 16];
            getrandom::fill(&mut random).map_err(|_| VaultError::NoRandomness)?;
            Ok(Placeholder { secret, text: format!("{PREFIX}{}", hex::encode(random)), variable })
        };
        secrets.into_iter().map(placeholder).collect::<Result<_, _>>().map(Self)
    }

    /// Those that were made before; none if one of them is no placeholder of ours.
    pub(super) fn restored(held: impl IntoIterator<Item = (SecretName, String, Option<String>)>) -> Option<Self> {
        let placeholder = |(secret, text, variable): (SecretName, String, Option<String>)| {
            let random = text.strip_prefix(PREFIX)?;
            let is_ours = random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_ours.then_some(Placeholder { secret, text, variable })
        };
        held.into_iter().map(placeholder).collect::<Option<_>>().map(Self)
    }

    /// All: the secret, what stands for it, and the variable that shows it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&SecretName, &str, Option<&str>)> {
        self.0.iter().map(|one| (&one.secret, one.text.as_str(), one.variable.as_deref()))
    }

    /// The variables for the sandbox's environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let shown = self.0.iter().filter_map(|one| Some((one.variable.clone()?, one.text.clone())));
        shown.collect()
    }

    /// What stands for a secret in this sandbox.
    pub fn of(&self, secret: &SecretName) -> Option<&str> {
        self.0.iter().find(|one| one.secret == *secret).map(|one| one.text.as_str())
    }
}

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| &one.secret)).finish()
    }
}

/// Why no credential can be put into a request, or a foreign one be removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error(
        "the vault cannot be read, so no request to a host with a credential is made; the owner finds why in the log"
    )]
    Vault,
    #[error("this workspace may not use the secret `{secret}`; the owner names it in the workspace's `secrets`")]
    NotAllowed { secret: SecretName },
    #[error(
        "the secret `{secret}` is not bound to this host, method and path; the owner binds it with `factotum secret set`"
    )]
    Unbound { secret: SecretName },
    #[error(
        "the secret `{secret}` was seen where it must not be and is dead; the owner replaces it with `factotum secret rotate {secret}`"
    )]
    Dead { secret: SecretName },
    #[error("the secret `{secret}` does not go to a public host in the clear; use https")]
    Clear { secret: SecretName },
    #[error("the secret `{secret}` cannot stand in a header; the owner sets it again without line breaks")]
    Unfit { secret: SecretName },
    #[error(
        "the query's parameter number {position} carries a credential, which requests to this host take from the vault alone; \
         leave it out"
    )]
    Query { position: usize },
}

/// What a request is, as far as credentials are concerned.
pub(super) struct About<'a> {
    pub target: &'a Target,
    pub method: &'a str,
    pub path: &'a RequestPath,
    /// Whether a value may travel: through TLS, or within the owner's own network.
    pub is_private: bool,
    /// The secrets that the workspace may use.
    pub allowed: &'a BTreeSet<SecretName>,
}

/// What became of a request's credentials.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// Some secret is bound to this host, so its answers are searched for values.
    pub credentialed: bool,
    /// The secrets whose values were put in.
    pub used: Vec<SecretName>,
    /// Names of the headers that were removed.
    pub removed: Vec<HeaderName>,
}

/// Replaces what may be replaced and removes what is foreign.
pub(super) fn fill(
    placeholders: &Placeholders,
    vault: &Vault,
    about: &About<'_>,
    headers: &mut HeaderMap,
) -> Result<Filled, CredentialError> {
    let secrets = vault.list().map_err(|error| {
        tracing::error!(error = %error, "the vault cannot be read");
        CredentialError::Vault
    })?;
    if Invariant::CredentialSlot.is_broken() {
        return fill_anywhere(placeholders, vault, &secrets, headers);
    }
    let bindings = || secrets.iter().flat_map(|info| info.bindings.iter().map(move |binding| (info, binding)));
    if !bindings().any(|(_, binding)| binding.host.matches(about.target.host())) {
        return Ok(Filled::default());
    }
    if let Some(position) = about.path.query().and_then(foreign_parameter) {
        return Err(CredentialError::Query { position });
    }
    let slots: Vec<&str> = bindings().map(|(_, binding)| binding.slot.header()).collect();
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_credential(name, &slots)).cloned().collect();
    let mut filled = Filled { credentialed: true, ..Filled::default() };
    for name in names {
        let given: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        match one_of(placeholders, vault, &secrets, about, &name, &given)? {
            Some((secret, value)) => {
                headers.insert(name, value);
                filled.used.push(secret);
            }
            None => filled.removed.push(name),
        }
    }
    Ok(filled)
}

/// The value for a header of which one of the given values holds a placeholder in its place; none when all are foreign.
fn one_of(
    placeholders: &Placeholders,
    vault: &Vault,
    secrets: &[SecretInfo],
    about: &About<'_>,
    name: &HeaderName,
    given: &[HeaderValue],
) -> Result<Option<(SecretName, HeaderValue)>, CredentialError> {
    for value in given {
        let Some((placeholder, shape)) = placeholders.0.iter().find_map(|one| Some((one, shape(value, &one.text)?)))
        else {
            continue;
        };
        let secret = &placeholder.secret;
        if !about.allowed.contains(secret) {
            return Err(CredentialError::NotAllowed { secret: secret.clone() });
        }
        let unbound = || CredentialError::Unbound { secret: secret.clone() };
        let info = secrets.iter().find(|info| info.name == *secret).ok_or_else(unbound)?;
        let binding = info.bindings.iter().find(|binding| {
            binding.slot.header() == name.as_str()
                && binding.allows(about.target, about.method, about.path)
                && shape.fits(&binding.slot)
        });
        let binding = binding.ok_or_else(unbound)?;
        if !about.is_private {
            return Err(CredentialError::Clear { secret: secret.clone() });
        }
        if info.dead.is_some() {
            return Err(CredentialError::Dead { secret: secret.clone() });
        }
        return Ok(Some((secret.clone(), value_for(vault, secret, binding, &shape)?)));
    }
    Ok(None)
}

/// How a placeholder stands in a header.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    /// After this, to the end.
    After(String),
    /// As the password of this user.
    Password(String),
}

impl Shape {
    fn fits(&self, slot: &CredentialSlot) -> bool {
        match (self, slot) {
            (Self::After(before), CredentialSlot::Header { prefix, .. }) => {
                let same = before.trim().eq_ignore_ascii_case(prefix.trim());
                // GitHub's own tools write `token` where others write `Bearer`.
                same || (before.trim().eq_ignore_ascii_case("token") && prefix.trim().eq_ignore_ascii_case("bearer"))
            }
            (Self::Password(user), CredentialSlot::Basic { user: wanted }) => {
                wanted.as_ref().is_none_or(|wanted| wanted == user)
            }
            (Self::After(_), CredentialSlot::Basic { .. }) | (Self::Password(_), CredentialSlot::Header { .. }) => {
                false
            }
        }
    }
}

/// Where the placeholder stands in the value; none when it does not end it.
fn shape(value: &HeaderValue, placeholder: &str) -> Option<Shape> {
    let text = value.to_str().ok()?.trim();
    if let Some(before) = text.strip_suffix(placeholder) {
        return Some(Shape::After(before.to_owned()));
    }
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(LENIENT.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (password == placeholder).then(|| Shape::Password(user.to_owned()))
}

fn value_for(
    vault: &Vault,
    secret: &SecretName,
    binding: &Binding,
    shape: &Shape,
) -> Result<HeaderValue, CredentialError> {
    let value = vault.value(secret).map_err(|error| {
        tracing::error!(error = %error, "a secret cannot be read");
        CredentialError::Vault
    })?;
    let text = Zeroizing::new(match (&binding.slot, shape) {
        (CredentialSlot::Header { prefix, .. }, _) => format!("{prefix}{}", value.expose()),
        (CredentialSlot::Basic { user }, Shape::Password(given)) => {
            basic(user.as_deref().unwrap_or(given), value.expose())
        }
        (CredentialSlot::Basic { user }, Shape::After(_)) => basic(user.as_deref().unwrap_or_default(), value.expose()),
    });
    let mut header = HeaderValue::from_str(&text).map_err(|_| CredentialError::Unfit { secret: secret.clone() })?;
    header.set_sensitive(true);
    Ok(header)
}

fn basic(user: &str, password: &str) -> String {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    format!("Basic {}", general_purpose::STANDARD.encode(pair.as_bytes()))
}

/// What a proxy without the promise would do: every header of every request is searched. For tests of the tests.
fn fill_anywhere(
    placeholders: &Placeholders,
    vault: &Vault,
    secrets: &[SecretInfo],
    headers: &mut HeaderMap,
) -> Result<Filled, CredentialError> {
    for (name, value) in headers.iter_mut() {
        let Some((one, shape)) = placeholders.0.iter().find_map(|one| Some((one, shape(value, &one.text)?))) else {
            continue;
        };
        let Ok(secret) = vault.value(&one.secret) else { continue };
        let text = match shape {
            Shape::After(before) => format!("{before}{}", secret.expose()),
            Shape::Password(user) if *name == AUTHORIZATION => basic(&user, secret.expose()),
            Shape::Password(_) => continue,
        };
        *value = HeaderValue::from_str(&text).map_err(|_| CredentialError::Unfit { secret: one.secret.clone() })?;
    }
    Ok(Filled { credentialed: !secrets.is_empty(), ..Filled::default() })
}

/// Whether the header carries a credential: by its name, or because some secret is bound to it.
pub(crate) fn is_credential(name: &HeaderName, slots: &[&str]) -> bool {
    // Some servers take an underscore for a hyphen.
    let plain = name.as_str().replace('_', "-");
    CREDENTIAL_HEADERS.contains(&plain.as_str())
        || CREDENTIAL_ENDINGS.iter().any(|ending| plain.len() > ending.len() && plain.ends_with(ending))
        || slots.contains(&name.as_str())
}

/// The place of the first parameter that carries a credential, counted from one.
fn foreign_parameter(query: &str) -> Option<usize> {
    let is_foreign = |pair: &str| {
        let name = decoded(pair.split('=').next().unwrap_or_default());
        let name = name.rsplit(['[', '.']).next().unwrap_or_default().trim_end_matches(']').to_owned();
        let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        CREDENTIAL_PARAMETERS.contains(&plain.as_str()) || plain.starts_with("xamz") || plain.starts_with("xgoog")
    };
    query.split(['&', ';']).position(is_foreign).map(|at| at + 1)
}

/// In lower case, with escapes resolved as often as some server might.
fn decoded(text: &str) -> String {
    let mut text = text.to_ascii_lowercase();
    for _ in 0..3 {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            let byte = tail.get(..2).filter(|_| first == b'%').and_then(|digits| hex::decode(digits).ok());
            match byte {
                Some(byte) => {
                    out.extend(byte);
                    rest = &tail[2..];
                }
                None => {
                    out.push(first);
                    rest = tail;
                }
            }
        }
        text = String::from_utf8_lossy(&out).to_ascii_lowercase();
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests;
