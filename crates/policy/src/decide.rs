//! The policy table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{Confidentiality, Effect, Integrity, Label, Origin, Question, SessionId, Sink, TurnId, WorkspaceName};

use crate::{Grant, approval::question};

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
    /// The state of the workspace that the call depends on, as the number of a snapshot; none where it depends on none.
    pub workspace_state: Option<&'a str>,
    /// True when the effect has destinations and the owner wrote each of them in this session, as a whole token.
    pub destinations_are_owners: bool,
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
    Ask(Box<Question>),
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
        Some(why) if request.origin.is_attended() => Decision::Ask(Box::new(question(request, rules, why))),
        Some(why) => Decision::Deny(Reason(format!("nobody is present to approve it: {why}"))),
    }
}

/// The table of DESIGN: why a call must be asked about, or none when it is free.
fn why_ask(request: &Request<'_>) -> Option<&'static str> {
    let untrusted = request.label.integrity == Integrity::Untrusted;
    let private = request.label.confidentiality == Confidentiality::Private;
    match request.effect.sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply => None,
        Sink::Fetch if untrusted && private && !request.destinations_are_owners => {
            Some("it would fetch an address that you did not write, in a session that holds private and foreign text")
        }
        Sink::Fetch => None,
        Sink::Send | Sink::Credential if untrusted && private => {
            Some("it would send something out of a session that holds private and foreign text")
        }
        Sink::Send | Sink::Credential if untrusted && !request.destinations_are_owners => {
            Some("it would send something to somebody you did not name, in a session that holds foreign text")
        }
        Sink::Send | Sink::Credential => None,
        Sink::Persist if untrusted => Some("it would change what persists, in a session that holds foreign text"),
        Sink::Persist => None,
        Sink::Destructive => Some("it destroys or acts in bulk"),
    }
}

pub(crate) fn grant(request: &Request<'_>) -> Grant {
    Grant {
        sink: request.effect.sink,
        read_only: request.effect.read_only,
        session: Some(request.session),
        workspace: request.workspace.clone(),
    }
}

#[cfg(test)]
mod tests;
