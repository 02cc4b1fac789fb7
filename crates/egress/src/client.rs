//! Clients, each bound to one origin. The address comes from the owner's configuration, so private addresses are
//! allowed here; addresses that a model chooses must never be given to these clients.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Method, Url};
use types::SecretName;

use crate::{
    EgressError, EgressErrorKind, Request, Vault,
    configured::{self, Closed, ConfiguredResolver},
    tls::{install_provider, no_certificates},
};

/// Where in a request its secret goes. It goes nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Into a header, after a prefix such as `Bearer `.
    Header {
        /// The header's name.
        name: &'static str,
        /// What stands before the secret.
        prefix: &'static str,
    },
    /// In place of the literal text `{secret}` in the path.
    Path,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From sending the request until the answer's head.
    pub first_byte: Duration,
    /// Between two pieces of the answer's body.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// What a client may speak to, and how.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The only origin the client may speak to, with an optional path before every request's own.
    pub base_url: String,
    /// The secret that goes into every request, and where.
    pub secret: Option<(SecretName, Slot)>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// The most bytes that the body of one answer may have.
    pub max_body_bytes: u64,
}

impl ClientConfig {
    /// A client of `base_url` without a secret and with usual limits: 10 s to connect, 60 s of silence, 10 minutes and
    /// 64 MiB in all.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            secret: None,
            timeouts: Timeouts::default(),
            max_body_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A client of one HTTP origin. It follows no redirect, uses no proxy of the environment and asks for no compression.
/// Cheap to clone.
#[derive(Clone)]
pub struct HttpClient(Arc<Endpoint>);

/// A client of a server behind a Unix socket on this machine. Cheap to clone.
#[derive(Clone)]
pub struct LocalClient(Arc<Endpoint>);

/// What both kinds of client share.
pub(crate) struct Endpoint {
    base: Url,
    socket: Option<PathBuf>,
    pub(crate) secret: Option<(SecretName, Slot, Vault)>,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body_bytes: u64,
    /// Built at the first request: reading the machine's certificates takes milliseconds that a start can do without.
    http: OnceLock<reqwest::Client>,
}

impl HttpClient {
    /// A client as configured. Fails with [`EgressErrorKind::Invalid`] on an address that is not `http` or `https`,
    /// that carries a name and password, or has a query.
    pub fn new(config: ClientConfig, vault: Vault) -> Result<Self, EgressError> {
        let base = parse_base(&config.base_url)?;
        let secret = config.secret.map(|(name, slot)| (name, slot, vault));
        if secret.is_some() && base.scheme() == "http" && !is_loopback(&base) {
            tracing::warn!(
                host = base.host_str().unwrap_or_default(),
                "a secret is sent to this host without encryption; use https"
            );
        }
        let (timeouts, max_body_bytes) = (config.timeouts, config.max_body_bytes);
        Ok(Self(Arc::new(Endpoint { base, socket: None, secret, timeouts, max_body_bytes, http: OnceLock::new() })))
    }

    /// Begins a request. The path starts with `/`, is appended to the base address and has no query of its own.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.0.clone(), method, path)
    }

    /// A text from outside with every secret of the vault masked, for errors and logs.
    pub fn masked(&self, text: &str) -> String {
        self.0.masked(text)
    }

    /// The host and port that the client speaks to, for messages.
    pub fn authority(&self) -> String {
        self.0.authority()
    }
}

impl LocalClient {
    /// A client of the server behind `socket`. Nothing is opened before the first request.
    pub fn new(socket: &Path) -> Self {
        // The host is not resolved: it only fills the Host header.
        let base = Url::parse("http://localhost").expect("the literal is a valid address");
        Self(Arc::new(Endpoint {
            base,
            socket: Some(socket.to_owned()),
            secret: None,
            // A stream of events may be silent for long; the server on this machine is trusted to end it.
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                first_byte: Duration::from_secs(3600),
                idle: Duration::from_secs(24 * 3600),
                total: Duration::from_secs(30 * 24 * 3600),
            },
            max_body_bytes: u64::MAX,
            http: OnceLock::new(),
        }))
    }

    /// Begins a request. The path starts with `/` and has no query of its own.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.0.clone(), method, path)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("authority", &self.authority()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LocalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalClient").field("socket", &self.0.socket).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The HTTP library's client, built at the first call.
    #[expect(clippy::disallowed_methods, reason = "this crate is the door to the network")]
    pub(crate) fn http(&self) -> Result<&reqwest::Client, EgressError> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        install_provider();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .http1_only()
            .dns_resolver(Arc::new(ConfiguredResolver::default()))
            .connect_timeout(self.timeouts.connect)
            .user_agent(concat!("factotum/", env!("CARGO_PKG_VERSION")));
        if self.base.scheme() == "http" {
            // Without TLS no certificate is needed, and reading the store costs time and memory.
            builder = builder.tls_certs_only([]);
        }
        if let Some(socket) = &self.socket {
            builder = builder.unix_socket(socket.as_path());
        }
        let client = builder.build().map_err(|error| no_certificates(&error))?;
        Ok(self.http.get_or_init(|| client))
    }

    /// The full address of `path`, which must stay at the base's origin and mean what it says: a path that the parser
    /// would change, such as one with `..`, is refused.
    pub(crate) fn url(&self, path: &str, query: &[(String, String)]) -> Result<Url, EgressError> {
        let invalid = |why: &str| EgressError::new(EgressErrorKind::Invalid, format!("the request's path {why}"));
        if !path.starts_with('/') || path.contains(['?', '#', '\\']) || path.contains(char::is_control) {
            return Err(invalid("is malformed"));
        }
        let full = format!("{}{path}", self.base.path().trim_end_matches('/'));
        let mut url = self.base.clone();
        url.set_path(&full);
        if url.path() != full || url.origin() != self.base.origin() {
            return Err(invalid("would be changed on its way"));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    pub(crate) fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Masks what the vault knows: what a library or a server says is not ours to trust.
    pub(crate) fn masked(&self, text: &str) -> String {
        match self.secret.as_ref() {
            Some((_, _, vault)) => vault.redactor().redact(text).into_owned(),
            None => text.to_owned(),
        }
    }
}

/// Whether a client can be made for this address. The error says why not, and does not repeat the address.
pub fn check_address(base_url: &str) -> Result<(), EgressError> {
    parse_base(base_url).map(|_| ())
}

/// Whether a configured address is that of our own API at `listen`, which no client of ours has business with: a vendor or
/// a messenger that is really ourselves would feed the agent its own words.
pub fn leads_to(base_url: &str, listen: SocketAddr) -> bool {
    let Ok(url) = parse_base(base_url) else { return false };
    let host = literal(&url).map(|address| address.to_canonical());
    let is_here = is_loopback(&url) || host.is_some_and(|host| host.is_unspecified());
    let reaches = |ip: IpAddr| host == Some(ip) || (is_here && (ip.is_unspecified() || ip.is_loopback()));
    url.port_or_known_default() == Some(listen.port()) && reaches(listen.ip().to_canonical())
}

fn parse_base(text: &str) -> Result<Url, EgressError> {
    let invalid = |why: &str| EgressError::new(EgressErrorKind::Invalid, format!("the address {why}"));
    let url = Url::parse(text).map_err(|error| invalid(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("must start with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("must not carry a name or password; put the secret into the vault"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("must not have a query or fragment"));
    }
    // A literal address is never resolved, so it is judged here.
    if literal(&url).is_some_and(configured::is_closed) {
        return Err(EgressError::new(EgressErrorKind::Invalid, Closed.to_string()));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || literal(url).is_some_and(|address| address.to_canonical().is_loopback())
}

/// The host, if it is an address and not a name.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
