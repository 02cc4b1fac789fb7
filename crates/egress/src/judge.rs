//! The judge of every outgoing request whose target somebody else chose: rules, then the name's addresses, then the dial.
//! What was judged is what is dialled: only [`Judged`] can be dialled, it holds addresses and no name, and only
//! [`Judge::resolve`] makes one. Must not record; who asks does that. Start with [`Judge`].

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpStream;
use types::Invariant;

use crate::{
    address::AddressClass,
    deny::DenyReason,
    network::Network,
    resolve::MAX_ADDRESSES,
    rules::{Ask, ConnectionRule, EgressRules, Reach, RuleId},
    tally::{Meter, Tally},
    target::{Host, Scheme, Target},
};

/// How long one address is tried.
const DIAL_ONE: Duration = Duration::from_secs(5);
/// How long all of them are.
const DIAL_ALL: Duration = Duration::from_secs(15);

/// Judges for one workspace. Cheap to clone; immutable, so a change of the rules is a new judge with the old tally.
#[derive(Clone)]
pub struct Judge {
    rules: Arc<EgressRules>,
    network: Network,
    tally: Arc<dyn Tally>,
}

/// A request that the rules allow.
#[derive(Debug)]
pub struct Allowed {
    /// The rule that allows it.
    pub rule: RuleId,
    /// Which addresses it may go to.
    pub reach: Reach,
    /// Whether records show its path: where the rule says which paths it is about.
    pub logs_path: bool,
    /// Whether it goes out only if it asks a model and has its vendor do nothing else.
    pub asks_model: bool,
    /// Whether it goes out only if it holds what git says when it fetches, since it may do nothing but read.
    pub fetches: bool,
    /// Counts its bytes against the rule's caps.
    pub meter: Meter,
}

/// A target with the addresses that may be dialled for it.
#[derive(Clone, Debug)]
pub struct Judged {
    target: Target,
    /// At least one.
    addresses: Vec<(SocketAddr, AddressClass)>,
    reach: Reach,
}

impl Judge {
    /// A judge by these rules. Two judges of one workspace share its tally.
    pub fn new(rules: Arc<EgressRules>, network: Network, tally: Arc<dyn Tally>) -> Self {
        Self { rules, network, tally }
    }

    /// A judge that allows what this one does as far as it only reads: see [`EgressRules::reading`].
    pub fn reading(&self) -> Self {
        Self { rules: Arc::new(EgressRules::clone(&self.rules).reading()), ..self.clone() }
    }

    /// The rules.
    pub fn rules(&self) -> &EgressRules {
        &self.rules
    }

    /// Whether a connection may be opened before its requests are known.
    pub fn connection(&self, scheme: Scheme, target: &Target) -> Result<ConnectionRule, DenyReason> {
        self.rules.connection(scheme, target)
    }

    /// Counts the bytes of an unopened tunnel.
    pub fn tunnel(&self, rule: &ConnectionRule) -> Option<Meter> {
        let (id, caps) = rule.pass_through.clone()?;
        Some(Meter::new(id, caps, self.tally.clone()))
    }

    /// Whether the rules allow a request.
    pub fn judge(&self, ask: &Ask<'_>) -> Result<Allowed, DenyReason> {
        let (rule, reach) = self.rules.request(ask)?;
        let meter = Meter::new(rule.id.clone(), rule.caps, self.tally.clone());
        // A day that is used up ends before the next request, not in the middle of it.
        meter.send(0)?;
        meter.receive(0)?;
        Ok(Allowed {
            rule: rule.id.clone(),
            reach,
            logs_path: !rule.paths.is_empty(),
            asks_model: rule.asks_model,
            // No other POST is a reading.
            fetches: rule.only_reads && ask.method == "POST",
            meter,
        })
    }

    /// Finds the target's addresses, once, and keeps those that may be dialled.
    pub async fn resolve(&self, target: &Target, reach: Reach) -> Result<Judged, DenyReason> {
        let found = match target.host() {
            Host::Ip(address) => vec![*address],
            Host::Dns(name) => self.network.resolver.resolve(name).await.map_err(|error| DenyReason::Unresolved {
                host: name.to_string(),
                why: unresolved(error.kind()).to_owned(),
            })?,
        };
        self.keep(target, reach, &found)
    }

    fn keep(&self, target: &Target, reach: Reach, found: &[IpAddr]) -> Result<Judged, DenyReason> {
        let known =
            self.network.address_rules().map_err(|error| DenyReason::OwnAddresses { why: error.kind().to_string() })?;
        let host = || target.host().to_string();
        let mut refused = DenyReason::Unresolved { host: host(), why: unresolved(io::ErrorKind::NotFound).to_owned() };
        let mut addresses = Vec::new();
        // From behind, so that the reason that is kept is that of the first address.
        for address in found.iter().take(MAX_ADDRESSES).rev() {
            let socket = SocketAddr::new(address.to_canonical(), target.port());
            let class = known.classify(*address);
            if !Invariant::JudgedAddress.is_broken() {
                if self.network.is_guarded(socket, &known) {
                    refused = DenyReason::Guarded { host: host() };
                    continue;
                }
                if !is_open(class, reach) {
                    refused = DenyReason::Address { host: host(), class, hint: hint(class, reach) };
                    continue;
                }
            }
            addresses.push((socket, class));
        }
        addresses.reverse();
        if addresses.is_empty() { Err(refused) } else { Ok(Judged { target: target.clone(), addresses, reach }) }
    }
}

/// Whether an address of this kind may be dialled.
fn is_open(class: AddressClass, reach: Reach) -> bool {
    match reach {
        Reach::Public => class == AddressClass::Public,
        Reach::PrivateByName => class.is_open_to_private_rule(false),
        Reach::PrivateByAddress => class.is_open_to_private_rule(true),
    }
}

/// What the owner could do about a refused address.
fn hint(class: AddressClass, reach: Reach) -> &'static str {
    if reach == Reach::Public && class.is_open_to_private_rule(true) {
        "; for a host of the owner's own network, the owner sets `private = true` in its rule"
    } else if class.is_open_to_private_rule(true) {
        "; for this very machine, the owner writes the address itself as the rule's `host`"
    } else {
        ""
    }
}

/// The resolver's failure in words that do not depend on the system's language.
fn unresolved(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::TimedOut => "the resolver did not answer in time",
        _ => "the name has no address, or no resolver answers",
    }
}

impl Judged {
    /// The target that was judged: its host is the SNI and the `Host` header.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The first address and its kind, for records.
    pub fn first(&self) -> Option<(SocketAddr, AddressClass)> {
        self.addresses.first().copied()
    }

    /// Whether every address is within the owner's own network, so that what goes there in the clear stays there.
    pub fn is_all_private(&self) -> bool {
        self.addresses.iter().all(|(_, class)| *class != AddressClass::Public)
    }

    /// Whether a request with this reach may use a connection to it: one that was opened for a request with a narrower or
    /// equal reach.
    pub fn is_within(&self, reach: Reach) -> bool {
        self.reach <= reach
    }

    /// Connects to the first address that answers, within 15 seconds. No name is involved any more.
    #[expect(clippy::disallowed_methods, reason = "this crate is the door to the network")]
    pub async fn dial(&self) -> io::Result<(TcpStream, SocketAddr, AddressClass)> {
        let deadline = tokio::time::Instant::now() + DIAL_ALL;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for (address, class) in &self.addresses {
            let until = deadline.min(tokio::time::Instant::now() + DIAL_ONE);
            match tokio::time::timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok((stream, *address, *class));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("rules", &self.rules.rules.len()).finish_non_exhaustive()
    }
}
