//! Allowances: the narrow rule that may be made of an approved call, and which later calls it lets through. A rule is
//! made from the call's own fields by this code alone; nobody can write a wider one. Pure.
//!
//! A rule lifts only what would be asked about: what policy or the owner denies stays denied, and where nobody is present
//! it lifts nothing.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use types::{AllowanceRule, AllowedArguments, Confidentiality, Integrity, Label, Offer, Sink};

use crate::{
    Grant,
    approval::canonical,
    decide::{Request, grant, reaches_bulk},
};

/// The longest text of a rule. It is shown in full before it is saved, on the smallest messenger too; a call whose rule
/// is longer can only be approved by itself.
const MAX_TEXT: usize = 1_500;

/// The rule that may be made of this call; none where each call must be judged by itself: what destroys or acts in bulk,
/// what would persist, and what leaves a session with foreign and private text without naming its destination.
pub fn offer(request: &Request<'_>) -> Option<Offer> {
    let highest = request.label == Label::UNKNOWN;
    if reaches_bulk(request) {
        return None;
    }
    match request.effect.sink {
        Sink::Destructive | Sink::Persist => return None,
        Sink::Fetch | Sink::Send | Sink::Credential if highest && request.effect.destinations.is_empty() => {
            return None;
        }
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply | Sink::Fetch | Sink::Send | Sink::Credential => {}
    }
    let rule = AllowanceRule {
        tool: request.tool.to_owned(),
        sink: request.effect.sink,
        read_only: request.effect.read_only,
        workspace: request.workspace.clone(),
        destinations: request.effect.destinations.clone(),
        count: request.effect.count,
        label: request.label,
        arguments: allowed(request),
    };
    let text = text(&rule);
    (text.chars().count() <= MAX_TEXT).then(|| Offer { digest: digest(&rule), text, rule })
}

/// Whether a rule lets this call through.
pub fn matches(rule: &AllowanceRule, request: &Request<'_>) -> bool {
    let effect = request.effect;
    let is_for_it = rule.tool == request.tool
        && rule.sink == effect.sink
        && rule.read_only == effect.read_only
        && rule.workspace == *request.workspace
        && rule.destinations == effect.destinations
        && effect.count <= rule.count
        && rule.label.covers(request.label);
    // A rule that could not be made of this very call is none for it: the exceptions of `offer` hold here too.
    is_for_it && arguments_match(&rule.arguments, request) && offer(request).is_some()
}

/// Lets a call through that would be asked about. The caller must know that the rule was saved by the owner, holds at
/// this moment, and that [`crate::decide`] asked.
pub fn allow(rule: &AllowanceRule, request: &Request<'_>) -> Option<Grant> {
    matches(rule, request).then(|| grant(request))
}

fn allowed(request: &Request<'_>) -> AllowedArguments {
    let exactly = || AllowedArguments::Exactly { arguments: canonical(request.input) };
    // Where private text could leave in an address, the rule is for one address.
    if request.label == Label::UNKNOWN {
        return exactly();
    }
    let Some(call) = AddressedCall::read(request) else { return exactly() };
    match prefix(call.url) {
        Some(prefix) => {
            AllowedArguments::Address { method: call.method, prefix: prefix.to_owned(), others: call.others }
        }
        None => exactly(),
    }
}

fn arguments_match(allowed: &AllowedArguments, request: &Request<'_>) -> bool {
    match allowed {
        AllowedArguments::Exactly { arguments } => canonical(request.input) == *arguments,
        AllowedArguments::Address { method, prefix, others } => {
            request.label != Label::UNKNOWN
                && AddressedCall::read(request).is_some_and(|call| {
                    call.method == *method
                        && call.others == *others
                        && call.url.strip_prefix(prefix.as_str()).is_some_and(is_plain)
                })
        }
    }
}

/// The arguments of a call that goes to an address.
struct AddressedCall<'a> {
    method: String,
    url: &'a str,
    /// All other arguments but the body of what is sent.
    others: String,
}

impl<'a> AddressedCall<'a> {
    fn read(request: &Request<'a>) -> Option<Self> {
        let Value::Object(arguments) = request.input else { return None };
        let url = arguments.get("url")?.as_str()?;
        let (method, sends) = match (request.effect.sink, arguments.get("method")) {
            (Sink::Fetch, None) => ("GET".to_owned(), false),
            (Sink::Fetch, Some(Value::String(method))) => (method.to_ascii_uppercase(), false),
            (Sink::Send | Sink::Credential, Some(Value::String(method))) => (method.to_ascii_uppercase(), true),
            _ => return None,
        };
        let is_other = |name: &str| name != "url" && name != "method" && !(sends && name == "body");
        let others: Map<String, Value> = arguments
            .iter()
            .filter(|(name, _)| is_other(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Some(Self { method, url, others: canonical(&Value::Object(others)) })
    }
}

/// Scheme, host, port and path up to its last slash. Only for addresses that every parser reads alike; others are not
/// generalised.
fn prefix(url: &str) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| url.starts_with(scheme))?;
    let rest = &url[scheme.len()..];
    let (authority, path) = rest.split_once('/')?;
    let is_plain_host =
        authority.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:".contains(&byte));
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    if authority.is_empty() || !is_plain_host || !is_plain(path) {
        return None;
    }
    let directory = path.rfind('/').map_or(0, |slash| slash + 1);
    Some(&url[..scheme.len() + authority.len() + 1 + directory])
}

/// Whether the end of an address stays beneath its beginning, however it is read: visible ASCII, no way up, nothing that
/// hides a separator.
fn is_plain(rest: &str) -> bool {
    let lower = rest.to_ascii_lowercase();
    rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !rest.split(['/', '?', '#', ';']).any(|part| part == "." || part == "..")
        && !["%2e", "%2f", "%5c", "%00"].iter().any(|hidden| lower.contains(hidden))
}

fn digest(rule: &AllowanceRule) -> String {
    let bytes = serde_json::to_vec(rule).expect("a rule holds only strings and numbers");
    hex::encode(Sha256::digest(bytes))
}

/// The whole rule in words.
fn text(rule: &AllowanceRule) -> String {
    let mut lines = vec![format!("`{}` is not asked about when all of this holds:", rule.tool)];
    match &rule.arguments {
        AllowedArguments::Exactly { arguments } => lines.push(format!("- its arguments are exactly {arguments}")),
        AllowedArguments::Address { method, prefix, others } => {
            lines.push(format!("- it is a {method} of any address that begins with {prefix}"));
            if rule.sink != Sink::Fetch {
                lines.push("- whatever it sends there".to_owned());
            }
            lines.push(format!("- its other arguments are exactly {others}"));
        }
    }
    if !rule.destinations.is_empty() {
        lines.push(format!("- it goes to {} and nowhere else", rule.destinations.join(", ")));
    }
    if !rule.read_only {
        lines.push(match rule.count {
            1 => "- it touches one thing".to_owned(),
            count => format!("- it touches at most {count} things"),
        });
    }
    lines.push(format!("- it acts in workspace {}, whatever the files there then hold", rule.workspace));
    lines.push(format!("- the session holds at most {}", held(rule.label)));
    lines.join("\n")
}

fn held(label: Label) -> &'static str {
    match (label.integrity, label.confidentiality) {
        (Integrity::Trusted, Confidentiality::Public) => "your words, and nothing private",
        (Integrity::Trusted, Confidentiality::Private) => "your words and private data, and no foreign text",
        (Integrity::Untrusted, Confidentiality::Public) => "foreign text, and nothing private",
        (Integrity::Untrusted, Confidentiality::Private) => "foreign text and private data",
    }
}

#[cfg(test)]
mod tests;
