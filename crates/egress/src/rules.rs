//! The rules of one workspace: which hosts, ports, methods and paths its programs may reach. Deny by default; a rule that
//! denies wins over all others. Pure: no resolving, no clock. Must not know what a session is. Start with
//! [`EgressRules::request`].

use std::{collections::BTreeSet, fmt, net::IpAddr, path::PathBuf, sync::Arc};

use types::SecretName;

use crate::{
    deny::DenyReason,
    path::{PathPattern, RequestPath},
    target::{DnsName, Host, Scheme, Target, TargetError},
};

/// The name of a rule, as audit records show it: `rust/2` for the second rule of a preset, `rules/1` for the first of the
/// workspace's own.
pub type RuleId = Arc<str>;

/// Which hosts a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This one.
    Exactly(Host),
    /// Names with exactly one label more than this one: written `*.example.com`.
    OneLabel(DnsName),
    /// Every host. Nobody can write it: it is for [`EgressRules::public_web`] alone.
    Any,
}

/// Why a host pattern was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// What stands there, or behind `*.`, is no host.
    #[error(transparent)]
    Host(#[from] TargetError),
    /// A star elsewhere than as the first label, or before a top-level domain.
    #[error("`*` stands for one label, at the beginning, before at least two others: *.example.com")]
    Star,
}

impl HostPattern {
    /// Reads a host, or `*.` and a name.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        match text.strip_prefix("*.") {
            Some(rest) => {
                let name = DnsName::parse(rest)?;
                if name.as_str().contains('.') { Ok(Self::OneLabel(name)) } else { Err(HostPatternError::Star) }
            }
            None if text.contains('*') => Err(HostPatternError::Star),
            None => Ok(Self::Exactly(Host::parse(text)?)),
        }
    }

    /// Whether the pattern is about this host.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exactly(own), host) => own == host,
            (Self::OneLabel(parent), Host::Dns(name)) => {
                name.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str())
            }
            (Self::OneLabel(_), Host::Ip(_)) => false,
            (Self::Any, _) => true,
        }
    }

    /// Whether the owner named an address, or `localhost`, rather than a name that somebody else answers for.
    pub fn is_literal(&self) -> bool {
        match self {
            Self::Exactly(Host::Ip(_)) => true,
            Self::Exactly(Host::Dns(name)) => name.as_str() == "localhost",
            Self::OneLabel(_) | Self::Any => false,
        }
    }
}

/// What one request, and one day, may move. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Path and query of one request.
    pub url: u64,
    /// The body of one request, or all that a tunnel sends.
    pub up: u64,
    /// The body of one answer, or all that a tunnel receives.
    pub down: u64,
    /// All bodies sent under the rule in a day (UTC).
    pub up_day: u64,
    /// All bodies received under the rule in a day (UTC).
    pub down_day: u64,
}

/// Which methods a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// All.
    Any,
    /// These, in upper case.
    Only(BTreeSet<String>),
}

impl Methods {
    fn cover(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(methods) => methods.contains(method),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// The hosts.
    pub hosts: Vec<HostPattern>,
    /// The ports; a rule that denies may have none, which means all.
    pub ports: Vec<u16>,
    /// The methods.
    pub methods: Methods,
    /// The paths; none means all.
    pub paths: Vec<PathPattern>,
    /// Whether the rule forbids what it is about.
    pub deny: bool,
    /// Whether requests in the clear are allowed as well.
    pub plain_http: bool,
    /// Whether private addresses are allowed: the owner's own network.
    pub private: bool,
    /// Whether TLS goes through unopened, for programs that insist on their own certificates.
    pub pass_through: bool,
    /// Whether a request may change to another protocol, such as WebSocket.
    pub upgrade: bool,
    /// Whether a request may have a body.
    pub body: bool,
    /// Whether only requests are allowed into which a secret of the vault is put.
    pub needs_secret: bool,
    /// Whether only requests are allowed that read, whatever the methods say: see [`EgressRules::reading`].
    pub only_reads: bool,
    /// Whether requests are allowed only as far as they ask a model and have its vendor fetch, run and keep nothing.
    pub asks_model: bool,
    /// The most that may be moved.
    pub caps: Caps,
}

impl Rule {
    /// Whether the rule is about this method.
    pub fn methods_cover(&self, method: &str) -> bool {
        self.methods.cover(method)
    }

    fn has_host(&self, host: &Host) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    fn has_port(&self, port: u16) -> bool {
        (self.deny && self.ports.is_empty()) || self.ports.contains(&port)
    }

    /// How far a rule lets a private address be reached through this host.
    fn reach(&self, host: &Host) -> Reach {
        let literal = self.hosts.iter().any(|pattern| pattern.is_literal() && pattern.matches(host));
        match (self.private, literal) {
            (false, _) => Reach::Public,
            (true, false) => Reach::PrivateByName,
            (true, true) => Reach::PrivateByAddress,
        }
    }
}

/// Which addresses may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Public ones.
    Public,
    /// Private ones as well, but not this machine: the owner named a host, for which somebody else answers.
    PrivateByName,
    /// Private ones and this machine: the owner named the address itself.
    PrivateByAddress,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// How it travels.
    pub scheme: Scheme,
    /// Where it goes.
    pub target: &'a Target,
    /// The method, in upper case as on the wire.
    pub method: &'a str,
    /// The path with its query.
    pub path: &'a RequestPath,
    /// Whether it has, or announces, a body.
    pub has_body: bool,
    /// Whether it asks to change the protocol.
    pub upgrade: bool,
    /// Whether a secret of the vault, bound to just this request, will be put into it.
    pub has_secret: bool,
}

impl Ask<'_> {
    /// Whether the request changes nothing on the other side, as far as its form tells.
    fn is_reading(&self) -> bool {
        match self.method {
            // The first step of a push is a question too; refused here, it fails with words and not half-way.
            "GET" | "HEAD" => !self.has_body && !asks_to_push(self.path),
            "POST" => self.path.is_git_fetch(),
            _ => false,
        }
    }
}

fn asks_to_push(path: &RequestPath) -> bool {
    path.query().is_some_and(|query| query.contains("git-receive-pack"))
}

/// What may be done with a connection before a request is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRule {
    /// Which addresses may be dialled for it: the widest of the rules about this host, because which of them a request will
    /// fall under is not known yet. Each request is judged again.
    pub reach: Reach,
    /// The rule by which TLS goes through unopened, with its caps; it asks for an untainted session besides.
    pub pass_through: Option<(RuleId, Caps)>,
}

/// The rules of one workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// In the order in which they were written: the first that fits counts, after those that deny.
    pub rules: Vec<Rule>,
    /// The secrets of the vault that this workspace's requests may carry, each bound to its places there.
    pub secrets: BTreeSet<SecretName>,
    /// Whether what they allow holds as well while the workspace holds foreign text.
    pub trust_foreign: bool,
    /// Files with further certificate authorities that are trusted for these hosts.
    pub extra_ca: Vec<PathBuf>,
}

/// How far a request came before a rule refused it: the furthest is the most useful to tell.
type Refusal = (u8, DenyReason);

impl EgressRules {
    /// Rules under which every public host may be read, and with `may_send` written to: for the fetch tool, whose calls
    /// policy judges one by one. No sandbox gets them. `own` rules come first, so that one that denies counts here too.
    pub fn public_web(mut own: Self, may_send: bool) -> Self {
        let read = Rule {
            id: Arc::from("web/read"),
            hosts: vec![HostPattern::Any],
            ports: vec![443, 80],
            methods: Methods::Only(["GET", "HEAD"].map(str::to_owned).into()),
            paths: Vec::new(),
            deny: false,
            plain_http: true,
            private: false,
            pass_through: false,
            upgrade: false,
            body: false,
            needs_secret: false,
            only_reads: false,
            asks_model: false,
            caps: Caps { url: 8192, up: 0, down: 256 << 20, up_day: 0, down_day: 8 << 30 },
        };
        if may_send {
            let methods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"].map(str::to_owned);
            own.rules.push(Rule {
                id: Arc::from("web/send"),
                methods: Methods::Only(methods.into()),
                ports: vec![443],
                plain_http: false,
                body: true,
                caps: Caps { up: 16 << 20, up_day: 256 << 20, ..read.caps },
                ..read.clone()
            });
        }
        own.rules.push(read);
        own
    }

    /// The same rules for programs that may read and nothing else: what they allow is GET and HEAD without a body, and the
    /// POST by which git asks for what it fetches. TLS does not go through unopened, and no protocol is changed.
    pub fn reading(mut self) -> Self {
        for rule in self.rules.iter_mut().filter(|rule| !rule.deny) {
            rule.only_reads = true;
            rule.pass_through = false;
            rule.upgrade = false;
        }
        self
    }

    /// Whether nothing at all is allowed.
    pub fn is_empty(&self) -> bool {
        self.rules.iter().all(|rule| rule.deny)
    }

    /// Whether a connection to this target may be opened, in view of requests that will be judged one by one.
    pub fn connection(&self, scheme: Scheme, target: &Target) -> Result<ConnectionRule, DenyReason> {
        let about = || self.rules.iter().filter(|rule| rule.has_host(target.host()) && rule.has_port(target.port()));
        let denies_all = |rule: &Rule| rule.deny && rule.methods == Methods::Any && rule.paths.is_empty();
        if let Some(rule) = about().find(|rule| denies_all(rule)) {
            return Err(DenyReason::DeniedByRule { rule: rule.id.clone() });
        }
        let mut reach = None;
        for rule in about().filter(|rule| !rule.deny && (scheme == Scheme::Https || rule.plain_http)) {
            reach = reach.max(Some(rule.reach(target.host())));
        }
        let Some(reach) = reach else { return Err(self.why_no_connection(scheme, target)) };
        // Through an unopened tunnel a rule about paths could not be kept, so any rule that denies closes it.
        let is_opened = about().any(|rule| rule.deny);
        let pass = about().find(|rule| rule.pass_through && !rule.deny && !is_opened && scheme == Scheme::Https);
        Ok(ConnectionRule { reach, pass_through: pass.map(|rule| (rule.id.clone(), rule.caps)) })
    }

    fn why_no_connection(&self, scheme: Scheme, target: &Target) -> DenyReason {
        let hosts = || self.rules.iter().filter(|rule| !rule.deny && rule.has_host(target.host()));
        if hosts().next().is_none() {
            DenyReason::Host { host: target.host().to_string() }
        } else if !hosts().any(|rule| rule.has_port(target.port())) {
            DenyReason::Port { target: target.to_string() }
        } else {
            debug_assert_eq!(scheme, Scheme::Http, "a rule with host and port allows https");
            DenyReason::PlainHttp { target: target.to_string() }
        }
    }

    /// The rule that allows this request, and which addresses it may go to.
    pub fn request(&self, ask: &Ask<'_>) -> Result<(&Rule, Reach), DenyReason> {
        if !is_method(ask.method) {
            return Err(DenyReason::Method { method: "?".to_owned(), host: ask.target.host().to_string() });
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.deny && denies(rule, ask)) {
            return Err(DenyReason::DeniedByRule { rule: rule.id.clone() });
        }
        let mut furthest: Refusal = (0, DenyReason::Host { host: ask.target.host().to_string() });
        for rule in self.rules.iter().filter(|rule| !rule.deny) {
            match refusal(rule, ask) {
                None => return Ok((rule, rule.reach(ask.target.host()))),
                Some(refusal) if refusal.0 > furthest.0 => furthest = refusal,
                Some(_) => {}
            }
        }
        Err(furthest.1)
    }
}

/// Whether the text is a method as programs write them. What is none never reaches a rule or a record.
fn is_method(text: &str) -> bool {
    (1..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

fn denies(rule: &Rule, ask: &Ask<'_>) -> bool {
    rule.has_host(ask.target.host())
        && rule.has_port(ask.target.port())
        && rule.methods.cover(ask.method)
        && (rule.paths.is_empty() || PathPattern::touch(&rule.paths, ask.path))
}

/// Why a rule does not allow the request; none if it does.
fn refusal(rule: &Rule, ask: &Ask<'_>) -> Option<Refusal> {
    let host = || ask.target.host().to_string();
    if !rule.has_host(ask.target.host()) {
        return Some((0, DenyReason::Host { host: host() }));
    }
    if !rule.has_port(ask.target.port()) {
        return Some((1, DenyReason::Port { target: ask.target.to_string() }));
    }
    if ask.scheme == Scheme::Http && !rule.plain_http {
        return Some((2, DenyReason::PlainHttp { target: ask.target.to_string() }));
    }
    if !rule.methods.cover(ask.method) {
        return Some((3, DenyReason::Method { method: ask.method.to_owned(), host: host() }));
    }
    if !rule.paths.is_empty() && !PathPattern::cover(&rule.paths, ask.path) {
        return Some((4, DenyReason::Path { host: host() }));
    }
    if ask.path.as_str().len() as u64 > rule.caps.url {
        return Some((5, DenyReason::LongUrl { rule: rule.id.clone(), most: rule.caps.url }));
    }
    if ask.has_body && !rule.body {
        return Some((5, DenyReason::Body { rule: rule.id.clone() }));
    }
    if ask.upgrade && !rule.upgrade {
        return Some((5, DenyReason::Upgrade { rule: rule.id.clone() }));
    }
    if rule.only_reads && !ask.is_reading() {
        return Some((6, DenyReason::OnlyReads { rule: rule.id.clone() }));
    }
    if rule.needs_secret && !ask.has_secret {
        return Some((6, DenyReason::NeedsSecret { rule: rule.id.clone() }));
    }
    None
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(host) => host.fmt(f),
            Self::OneLabel(parent) => write!(f, "*.{parent}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl From<IpAddr> for HostPattern {
    fn from(address: IpAddr) -> Self {
        Self::Exactly(Host::Ip(address))
    }
}
