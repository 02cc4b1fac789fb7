//! What is recorded.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{SessionId, TurnId};

/// What kind of thing a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// A tool call is about to have an effect.
    ToolIntent,
    /// What came of a tool call.
    ToolOutcome,
    /// A request left the machine, or was refused.
    Egress,
    /// The owner was asked or answered.
    Approval,
    /// A secret was stored, replaced, removed or declared dead.
    Secret,
    /// The policy or the configuration changed.
    Policy,
    /// Somebody was let in or turned away.
    Login,
    /// Something out of the ordinary was noticed, and what follows from it.
    Alarm,
    /// The daemon itself.
    Daemon,
}

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// The session concerned.
    pub session: Option<SessionId>,
    /// The turn concerned.
    pub turn: Option<TurnId>,
    /// The tool call concerned.
    pub call: Option<String>,
    /// What kind of thing happened.
    pub kind: AuditKind,
    /// What happened; must hold no secret. At most 256 KiB as JSON.
    pub detail: Value,
}

/// The end of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last record; 0 when there is none.
    pub seq: u64,
    /// Its hash in hex; 64 zeros when there is none.
    pub hash: String,
}

impl Head {
    /// The end of a log without records.
    pub fn start() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}
