//! The one parser of where a request wants to go: the authority of a CONNECT, the absolute form of a request line, the
//! URL of a tool call. What it returns is matched, resolved, dialled, used as SNI and compared with `Host`, so there is
//! no second reading that could differ. Must not resolve anything. Start with [`Target`] and [`WebTarget`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::path::{PathError, RequestPath};

/// The most bytes of a URL that is looked at.
const MAX_URL: usize = 16 * 1024;
/// The most bytes of a host: 253 of a name and room for brackets.
const MAX_HOST: usize = 255;

/// A DNS name: letters, digits and hyphens in lower case, no dot at its end, internationalised labels in valid
/// punycode, and never something that a resolver might take for an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, which has to be resolved.
    Dns(DnsName),
    /// An address, as written.
    Ip(IpAddr),
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    host: Host,
    port: u16,
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Through TLS.
    Https,
}

/// A full URL: scheme, target, path and query. It has neither a user nor a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebTarget {
    /// How the request travels.
    pub scheme: Scheme,
    /// Where it goes.
    pub target: Target,
    /// What it asks for.
    pub path: RequestPath,
}

/// Why a target was refused. The text never repeats what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing was given, or nothing before the port.
    #[error("the host is missing")]
    NoHost,
    /// The text exceeds what is looked at.
    #[error("the address is too long")]
    TooLong,
    /// A control byte, a space, or a character beyond ASCII.
    #[error("the address has characters that it cannot have; write international names in punycode (xn--)")]
    Characters,
    /// Something before an `@`.
    #[error("the address carries a user name; leave it out, and bind a secret instead")]
    UserInfo,
    /// A percent sign in the host, a zone of an IPv6 address included.
    #[error("the host has a percent sign")]
    Percent,
    /// The name breaks the rules of host names.
    #[error("the host is no valid name: labels have 1 to 63 letters, digits and inner hyphens")]
    Name,
    /// An address in a form other than four plain decimal numbers, or a bracket without an IPv6 address.
    #[error("the host looks like an address but is none; write four decimal numbers, or IPv6 in brackets")]
    Address,
    /// The port is missing or is not 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// Neither `http://` nor `https://`.
    #[error("the address must start with http:// or https://")]
    Scheme,
    /// The path is not acceptable.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl DnsName {
    /// Reads a name in ASCII. One dot at the end and upper case are normalised away.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(TargetError::NoHost);
        }
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(TargetError::Name);
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            return Err(TargetError::Address);
        }
        if name.split('.').any(|label| label.starts_with("xn--")) {
            let options = (AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify);
            let checked = Uts46::new().to_ascii(name.as_bytes(), options.0, options.1, options.2);
            if checked.map_err(|_| TargetError::Name)? != name {
                return Err(TargetError::Name);
            }
        }
        Ok(Self(name))
    }

    /// The name, in lower case and without a dot at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One to 63 letters, digits and hyphens, with no hyphen at either end.
fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

/// Whether some resolver would take a name that ends in this label for an IPv4 address: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

impl Host {
    /// Reads a host as it stands before a port: a name, four decimal numbers, or IPv6 in brackets.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::NoHost);
        }
        if text.len() > MAX_HOST {
            return Err(TargetError::TooLong);
        }
        if text.contains('@') {
            return Err(TargetError::UserInfo);
        }
        if text.contains('%') {
            return Err(TargetError::Percent);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetError::Characters);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(TargetError::Address)?;
            return Ipv6Addr::from_str(inner).map(|v6| Self::Ip(v6.into())).map_err(|_| TargetError::Address);
        }
        if text.contains([':', '[', ']']) {
            return Err(TargetError::Address);
        }
        match Ipv4Addr::from_str(text) {
            Ok(v4) => Ok(Self::Ip(v4.into())),
            Err(_) => DnsName::parse(text).map(Self::Dns),
        }
    }
}

impl Target {
    /// A target of a host and port. Fails on port 0.
    pub fn new(host: Host, port: u16) -> Result<Self, TargetError> {
        if port == 0 { Err(TargetError::Port) } else { Ok(Self { host, port }) }
    }

    /// Reads the authority of a CONNECT, in which the port must stand.
    pub fn parse_authority(text: &str) -> Result<Self, TargetError> {
        let (host, port) = split_port(text)?;
        Self::new(Host::parse(host)?, parse_port(port.ok_or(TargetError::Port)?)?)
    }

    /// Reads a `Host` header or the authority of a URL, in which the port of `scheme` may be left out.
    pub fn parse_host(text: &str, scheme: Scheme) -> Result<Self, TargetError> {
        let (host, port) = split_port(text)?;
        let port = port.map_or(Ok(scheme.default_port()), parse_port)?;
        Self::new(Host::parse(host)?, port)
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As it stands in a `Host` header of this scheme: without the port where it is the usual one.
    pub fn host_header(&self, scheme: Scheme) -> String {
        if self.port == scheme.default_port() { self.host.to_string() } else { self.to_string() }
    }
}

/// Separates the host from the port. The colons within brackets belong to the address.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<&str>), TargetError> {
    if text.len() > MAX_HOST + 6 {
        return Err(TargetError::TooLong);
    }
    if let Some(end) = text.starts_with('[').then(|| text.find(']')).flatten() {
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(TargetError::Address),
        };
    }
    Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

pub(crate) fn parse_port(text: &str) -> Result<u16, TargetError> {
    // `u16::from_str` would take a plus sign, and leading zeros have two readings.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain).ok_or(TargetError::Port)
}

impl Scheme {
    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl WebTarget {
    /// Reads the absolute form of a request line, or a `Location`: ASCII only, no fragment.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_URL {
            return Err(TargetError::TooLong);
        }
        let (scheme, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let target = Target::parse_host(authority, scheme)?;
        // A URL may leave the path out; the request may not.
        let path =
            if rest.starts_with('/') { RequestPath::parse(rest) } else { RequestPath::parse(&format!("/{rest}")) };
        Ok(Self { scheme, target, path: path? })
    }

    /// Reads a URL that a person or a model wrote: a name beyond ASCII is put into punycode, characters of the path
    /// that may not stand there are percent-encoded, a fragment is dropped. Show [`WebTarget`]'s text, not theirs.
    pub fn parse_written(text: &str) -> Result<Self, TargetError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.len() > MAX_URL {
            return Err(TargetError::TooLong);
        }
        let (scheme, rest) = split_scheme(text)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = to_punycode(authority)?;
        Self::parse(&format!("{}://{authority}{}", scheme.as_str(), encode_beyond_ascii(rest)))
    }

    /// The URL that a relative or absolute `Location` of an answer to this one means. A fragment is dropped.
    pub fn join(&self, location: &str) -> Result<Self, TargetError> {
        let location = location.split('#').next().unwrap_or_default();
        if location.contains("://") && split_scheme(location).is_ok() {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme.as_str()));
        }
        if location.split(['/', '?']).next().unwrap_or_default().contains(':') {
            return Err(TargetError::Scheme);
        }
        let path = self.path.join(location)?;
        Ok(Self { path, ..self.clone() })
    }

    /// Whether both are of one scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.target == other.target
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), TargetError> {
    let (scheme, rest) = text.split_once("://").ok_or(TargetError::Scheme)?;
    if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else {
        Err(TargetError::Scheme)
    }
}

/// The authority with its name in punycode, if it has characters beyond ASCII; otherwise as it was.
fn to_punycode(authority: &str) -> Result<String, TargetError> {
    if authority.is_ascii() {
        return Ok(authority.to_owned());
    }
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let host = Uts46::new()
        .to_ascii(host.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::VerifyAllowRootDot)
        .map_err(|_| TargetError::Name)?;
    Ok(port.map_or_else(|| host.clone().into_owned(), |port| format!("{host}:{port}")))
}

/// Percent-encodes spaces and everything beyond ASCII; control characters stay, and are refused later.
fn encode_beyond_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte == b' ' || !byte.is_ascii() {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Ip(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for WebTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.target.host_header(self.scheme), self.path)
    }
}
