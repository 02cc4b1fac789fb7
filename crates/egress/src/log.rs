//! What is recorded of each decision about a request, and who records it. Must never carry a header, a body, or a query.

use types::BoxFuture;

use crate::{address::AddressClass, rules::RuleId, tally::Moved};

/// On whose behalf a request is made. All of it is our own naming, none of it a program's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// The session, if there is one.
    pub session: Option<i64>,
    /// The workspace whose rules count, if there is one.
    pub workspace: Option<String>,
    /// What makes the request: `sandbox`, `fetch`, or the name of a component.
    pub client: &'static str,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Refused; nothing was sent.
    Denied,
    /// About to be sent: recorded before it is.
    Intent,
    /// Over: the answer came, or the connection ended.
    Outcome,
}

impl Stage {
    /// The word in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Intent => "intent",
            Self::Outcome => "outcome",
        }
    }
}

/// One record. The path is there only where the rule that counted says which paths it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRecord {
    /// What it is about.
    pub stage: Stage,
    /// On whose behalf.
    pub who: Who,
    /// The host, as judged; empty if it could not be read.
    pub host: String,
    /// The port; 0 if it could not be read.
    pub port: u16,
    /// The method; `CONNECT` for a tunnel.
    pub method: String,
    /// The path without its query.
    pub path: Option<String>,
    /// The address that was dialled, or that was refused.
    pub address: Option<String>,
    /// Its kind.
    pub class: Option<AddressClass>,
    /// The rule that counted.
    pub rule: Option<RuleId>,
    /// Why it was refused or broken off: a word of [`crate::DenyReason::code`].
    pub reason: Option<&'static str>,
    /// Whether a secret of the vault was put in: its name, never its value.
    pub secret: Option<String>,
    /// Bytes of bodies.
    pub moved: Moved,
    /// The answer's status.
    pub status: Option<u16>,
}

impl EgressRecord {
    /// An empty record about a target.
    pub fn new(stage: Stage, who: Who, host: impl Into<String>, port: u16, method: impl Into<String>) -> Self {
        Self {
            stage,
            who,
            host: host.into(),
            port,
            method: method.into(),
            path: None,
            address: None,
            class: None,
            rule: None,
            reason: None,
            secret: None,
            moved: Moved::default(),
            status: None,
        }
    }
}

/// The record could not be written. A request whose intent is not recorded is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the egress record could not be written")]
pub struct Unrecorded;

/// Where records go: the audit log. Returns after the record is durable.
pub trait EgressLog: Send + Sync {
    /// Writes one record.
    fn record<'a>(&'a self, record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>>;
}
