//! Where a secret may go: which host, port, method and path, and into which header. Pure. Must not know any value, and
//! must not read hosts and paths in another way than the egress rules do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    path::{PathPattern, RequestPath},
    rules::HostPattern,
    target::{Target, parse_port, split_port},
};

/// The port when none is given.
const HTTPS: u16 = 443;
/// The most methods or paths of one binding.
const MAX_LIST: usize = 64;
/// The longest user name in bytes.
const MAX_TEXT: usize = 512;

/// One place that a secret may be sent to. A secret without a binding is sent by the daemon's own clients alone; no
/// sandbox can use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The host: a name, an address, or `*.` and a name for exactly one label before it.
    #[serde(with = "as_text")]
    pub host: HostPattern,
    /// The port.
    #[serde(default = "https")]
    pub port: u16,
    /// The methods, in upper case; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The paths, as a server reads them; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "as_texts")]
    pub paths: Vec<PathPattern>,
    /// Which header takes the secret.
    pub slot: CredentialSlot,
}

/// The header that carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialSlot {
    /// A header's whole value: `prefix`, then the secret.
    Header {
        /// The header's name in lower case.
        name: String,
        /// What stands before the secret, such as `Bearer `.
        prefix: String,
    },
    /// The password of `Authorization: Basic` (RFC 7617).
    Basic {
        /// The only user name that may stand before it; any when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
}

impl CredentialSlot {
    /// `Authorization: Bearer`, the slot of most interfaces.
    pub fn bearer() -> Self {
        Self::Header { name: "authorization".to_owned(), prefix: "Bearer ".to_owned() }
    }

    /// The header's name in lower case.
    pub fn header(&self) -> &str {
        match self {
            Self::Header { name, .. } => name,
            Self::Basic { .. } => "authorization",
        }
    }
}

/// Why a binding was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}`: {why}")]
pub struct InvalidBinding {
    what: &'static str,
    given: String,
    why: &'static str,
}

pub(super) fn invalid(what: &'static str, given: &str, why: &'static str) -> InvalidBinding {
    InvalidBinding { what, given: given.chars().filter(|c| !c.is_control()).take(80).collect(), why }
}

fn https() -> u16 {
    HTTPS
}

impl Binding {
    /// A binding to `host` or `host:port` with every method and path, in the bearer slot. The host may begin with `*.` for
    /// exactly one label.
    pub fn to(authority: &str) -> Result<Self, InvalidBinding> {
        let wrong = || invalid("the host", authority, "must be like api.example.com or api.example.com:8443");
        let (host, port) = split_port(authority).map_err(|_| wrong())?;
        let port = port.map_or(Ok(HTTPS), parse_port).map_err(|_| wrong())?;
        let host = HostPattern::parse(host).map_err(|_| wrong())?;
        let binding = Self { host, port, methods: Vec::new(), paths: Vec::new(), slot: CredentialSlot::bearer() };
        binding.check()?;
        Ok(binding)
    }

    /// Whether it can be kept: every part well-formed and bounded.
    pub fn check(&self) -> Result<(), InvalidBinding> {
        if self.port == 0 {
            return Err(invalid("the port", "0", "must be 1 to 65535"));
        }
        if self.methods.len() > MAX_LIST || self.paths.len() > MAX_LIST {
            return Err(invalid("the binding", &self.host.to_string(), "has more than 64 methods or paths"));
        }
        for method in &self.methods {
            if method.is_empty() || method.len() > 32 || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(invalid("the method", method, "must be letters in upper case, such as GET"));
            }
        }
        match &self.slot {
            CredentialSlot::Header { name, prefix } => check_header(name, prefix),
            CredentialSlot::Basic { user: Some(user) } if user.contains([':', '\r', '\n']) || user.len() > MAX_TEXT => {
                Err(invalid("the user", user, "must be short and without a colon"))
            }
            CredentialSlot::Basic { user: Some(_) | None } => Ok(()),
        }
    }

    /// Whether requests to this target are the binding's affair, whatever their method and path.
    pub fn is_for(&self, target: &Target) -> bool {
        self.port == target.port() && self.host.matches(target.host())
    }

    /// Whether the secret may go into requests that only read.
    pub fn reads(&self) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|method| method == "GET" || method == "HEAD")
    }

    /// Whether the secret may go into this request.
    pub fn allows(&self, target: &Target, method: &str, path: &RequestPath) -> bool {
        self.is_for(target)
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
            && (self.paths.is_empty() || PathPattern::cover(&self.paths, path))
    }
}

impl fmt::Display for Binding {
    /// On one line, for people: what, then where, then how.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        write!(f, "{}", self.host)?;
        if self.port != HTTPS {
            write!(f, ":{}", self.port)?;
        }
        match self.paths.as_slice() {
            [] => {}
            [only] => write!(f, "{only}")?,
            [first, rest @ ..] => write!(f, "{first} and {} more", rest.len())?,
        }
        match &self.slot {
            CredentialSlot::Header { name, prefix } => write!(f, " as {name}: {prefix}..."),
            CredentialSlot::Basic { user } => write!(f, " as password of {}", user.as_deref().unwrap_or("any user")),
        }
    }
}

fn check_header(name: &str, prefix: &str) -> Result<(), InvalidBinding> {
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
        return Err(invalid("the header", name, "must be a header's name in lower case"));
    }
    // These decide where a request goes or how long it is.
    let framing =
        ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "via"];
    if framing.contains(&name) || name.starts_with("proxy-") {
        return Err(invalid("the header", name, "belongs to the connection and carries no secret"));
    }
    if prefix.len() > 64 || !prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(invalid("the prefix", prefix, "must be short, printable ASCII"));
    }
    Ok(())
}

/// A pattern of hosts as its text.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::rules::HostPattern;

    pub(super) fn serialize<S: Serializer>(host: &HostPattern, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(host)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostPattern, D::Error> {
        HostPattern::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Patterns of paths as their texts.
mod as_texts {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::path::PathPattern;

    pub(super) fn serialize<S: Serializer>(paths: &[PathPattern], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathPattern>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| PathPattern::parse(text).map_err(D::Error::custom)).collect()
    }
}
