//! Allowances: narrow rules that the daemon's code makes from a call which the owner approved, so that calls like it are
//! not asked about again. This file has their shape; what they match is decided in `policy`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AllowanceId, Label, RequestId, SessionId, Sink, Timestamp, TurnId, WorkspaceName};

/// How far a yes reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This call.
    #[default]
    Once,
    /// This call, and those that the offered rule matches until the task ends.
    Task,
    /// This call, and those that the offered rule matches until the owner takes it back.
    Always,
}

/// A rule. Everything in it must be equal in a call that it lets through, except where it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowanceRule {
    /// The tool.
    pub tool: String,
    /// Where its effect goes.
    pub sink: Sink,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// The workspace in which it acts.
    pub workspace: WorkspaceName,
    /// All its destinations, in their order.
    pub destinations: Vec<String>,
    /// The most things it touches.
    pub count: u32,
    /// The highest label of the session.
    pub label: Label,
    /// Its arguments.
    pub arguments: AllowedArguments,
}

/// Which arguments a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AllowedArguments {
    /// These alone.
    Exactly {
        /// Canonical JSON.
        arguments: String,
    },
    /// Every address that begins so.
    Address {
        /// The HTTP method, in capitals.
        method: String,
        /// Scheme, host, port and the path up to a slash, as they were written.
        prefix: String,
        /// The other arguments, apart from a body that is sent: canonical JSON, equal.
        others: String,
    },
}

/// A rule that may be made of a question, as it would be saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// The rule.
    pub rule: AllowanceRule,
    /// The whole rule in words, by our code.
    pub text: String,
    /// SHA-256 of the rule in hex: what a client sends back as the sign that the owner saw the rule.
    pub digest: String,
}

/// How long an allowance holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AllowanceScope {
    /// For one task.
    Task {
        /// Its session.
        session: SessionId,
        /// The task.
        turn: TurnId,
    },
    /// Until it is taken back.
    Always,
}

/// A saved rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// Its number.
    pub id: AllowanceId,
    /// The rule.
    pub rule: AllowanceRule,
    /// The rule in words, as the owner saw it.
    pub text: String,
    /// How long it holds.
    pub scope: AllowanceScope,
    /// The approval that it comes from.
    pub request: RequestId,
    /// When it was saved.
    pub created_at: Timestamp,
    /// How many calls it has let through.
    pub uses: u64,
    /// When it last did.
    pub used_at: Option<Timestamp>,
    /// When it was taken back; none while it holds.
    pub revoked_at: Option<Timestamp>,
}

/// A code or a secret on its way from a client. It is never printed, and kept nowhere as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// Takes it as the owner typed it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the owner typed it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}
