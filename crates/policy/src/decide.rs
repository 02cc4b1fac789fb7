//! The policy table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use types::{
    Answer, Confidentiality, Effect, Integrity, Label, Origin, Question, SessionId, Sink, TurnId, WorkspaceName,
};

use crate::Grant;

/// What the owner set for a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolRule {
    /// The table decides.
    #[default]
    Policy,
    /// Every call that changes something is asked about.
    Ask,
    /// The tool is off.
    Deny,
}

/// The owner's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// By tool name; tools that are not named follow the table.
    pub tools: BTreeMap<String, ToolRule>,
    /// Changes whenever the rules do; part of every question's hash.
    pub version: u64,
}

/// One call to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its checked arguments.
    pub input: &'a Value,
    /// What it would do.
    pub effect: &'a Effect,
    /// The session's label.
    pub label: Label,
    /// What set the turn off.
    pub origin: Origin,
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// The session's workspace.
    pub workspace: &'a WorkspaceName,
    /// True when the owner wrote the effect's destination in this session, as a whole token.
    pub destination_is_owners: bool,
}

/// Why a call may not happen; the model and the log see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Reason(pub String);

/// The judgement.
#[derive(Debug)]
pub enum Decision {
    /// It may happen.
    Allow(Grant),
    /// The owner is to be asked.
    Ask(Question),
    /// It may not.
    Deny(Reason),
}

/// The daemon's own acts, which no model asks for and no owner needs to approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Trying every escape inside a sandbox of its own.
    Canary,
    /// Saving a workspace.
    Snapshot,
    /// Putting a workspace back, which the owner asked for.
    Undo,
    /// Running a command that the owner typed.
    OwnerCommand,
}

/// Grants one of the daemon's own acts in one workspace.
pub fn decide_own(act: Act, workspace: WorkspaceName) -> Grant {
    let (sink, read_only) = match act {
        Act::Canary => (Sink::Compute, false),
        Act::Snapshot => (Sink::Compute, true),
        Act::Undo | Act::OwnerCommand => (Sink::WorkspaceWrite, false),
    };
    Grant { sink, read_only, session: None, workspace }
}

/// Judges one call.
pub fn decide(request: &Request<'_>, rules: &Rules) -> Decision {
    let rule = rules.tools.get(request.tool).copied().unwrap_or_default();
    if rule == ToolRule::Deny {
        return Decision::Deny(Reason(format!("the owner has switched `{}` off", request.tool)));
    }
    let asked_by_owner = rule == ToolRule::Ask && !request.effect.read_only;
    match why_ask(request).or(asked_by_owner.then_some("you asked to be asked about this tool")) {
        None => Decision::Allow(grant(request)),
        Some(why) if request.origin.is_attended() => Decision::Ask(question(request, rules, why)),
        Some(why) => Decision::Deny(Reason(format!("nobody is present to approve it: {why}"))),
    }
}

/// The table of DESIGN: why a call must be asked about, or none when it is free.
fn why_ask(request: &Request<'_>) -> Option<&'static str> {
    let untrusted = request.label.integrity == Integrity::Untrusted;
    let private = request.label.confidentiality == Confidentiality::Private;
    match request.effect.sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply => None,
        Sink::Fetch if untrusted && private && !request.destination_is_owners => {
            Some("it would fetch an address that you did not write, in a session that holds private and foreign text")
        }
        Sink::Fetch => None,
        Sink::Send | Sink::Credential if untrusted && private => {
            Some("it would send something out of a session that holds private and foreign text")
        }
        Sink::Send | Sink::Credential if untrusted && !request.destination_is_owners => {
            Some("it would send something to somebody you did not name, in a session that holds foreign text")
        }
        Sink::Send | Sink::Credential => None,
        Sink::Persist if untrusted => Some("it would change what persists, in a session that holds foreign text"),
        Sink::Persist => None,
        Sink::Destructive => Some("it destroys or acts in bulk"),
    }
}

fn grant(request: &Request<'_>) -> Grant {
    Grant {
        sink: request.effect.sink,
        read_only: request.effect.read_only,
        session: Some(request.session),
        workspace: request.workspace.clone(),
    }
}

/// The question about a call, with the hash that an approval is bound to.
pub fn question(request: &Request<'_>, rules: &Rules, reason: &str) -> Question {
    let mut question = Question {
        tool: request.tool.to_owned(),
        arguments: canonical(request.input),
        effect: request.effect.clone(),
        session: request.session,
        turn: request.turn,
        workspace: request.workspace.clone(),
        label: request.label,
        policy_version: rules.version,
        reason: reason.to_owned(),
        hash: String::new(),
    };
    question.hash = hash(&question);
    question
}

/// The hash over everything that was shown. The `hash` field itself counts as empty.
fn hash(question: &Question) -> String {
    let blank = Question { hash: String::new(), ..question.clone() };
    let bytes = serde_json::to_vec(&blank).expect("a question holds only strings and numbers");
    hex::encode(Sha256::digest(bytes))
}

/// Turns the owner's approval into a grant, if what would run is what was shown. `stored` is the question as it was put
/// to the owner; `request` is the call as it would run. The caller must have marked the approval as used.
pub fn redeem(stored: &Question, answer: &Answer, request: &Request<'_>, rules: &Rules) -> Result<Grant, Reason> {
    let refuse = |text: &str| Err(Reason(text.to_owned()));
    match answer {
        Answer::Approved => {}
        Answer::Denied => return refuse("the owner said no"),
        Answer::Expired => return refuse("nobody approved it in time"),
        Answer::Withdrawn => return refuse("the task was stopped before anybody approved it"),
        Answer::Text { .. } => return refuse("words are not an approval"),
    }
    let present = question(request, rules, &stored.reason);
    if stored.hash != hash(stored) || present.hash != stored.hash {
        return refuse(
            "the call, the session's label or the policy changed after it was shown; it must be asked again",
        );
    }
    Ok(grant(request))
}

/// JSON with sorted keys and no spaces, so that equal arguments have equal bytes.
pub fn canonical(value: &Value) -> String {
    // serde_json's map is sorted unless `preserve_order` is on, which this workspace must not enable; sorting here
    // keeps the hash right even if a dependency does.
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let ordered: BTreeMap<&String, Value> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
                Value::Object(ordered.into_iter().map(|(key, value)| (key.clone(), value)).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    sorted(value).to_string()
}

#[cfg(test)]
mod tests;
