//! The policy table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{
    Confidentiality, Effect, Integrity, Invariant, Label, Origin, Question, SessionId, Sink, TurnId, WorkspaceName,
};

use crate::{Grant, approval::question};

/// How many things outside of the workspace a task may touch before the owner is asked.
pub const BULK: u32 = 20;

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
    /// How many things outside of the workspace earlier calls of this task have touched.
    pub touched: u32,
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
    /// Nobody is there to ask, but it can wait: it becomes a proposal that the owner may accept later.
    Propose(Box<Question>),
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
    /// Looking for secrets in a workspace.
    Scan,
    /// Putting a workspace back, which the owner asked for.
    Undo,
    /// Running a command that the owner typed.
    OwnerCommand,
    /// Installing or trying a coding agent's program, which the owner asked for.
    Coder,
    /// Making, looking at or removing the tree of a job.
    JobTree,
    /// Letting a job's coding agent work in its sandbox, as the owner asked.
    JobWork,
    /// Running a job's done condition, and putting back before it what the job may not change.
    JobCheck,
    /// Committing a job's work and bringing it back. What leaves the machine needs an approval besides.
    JobLand,
}

/// Grants one of the daemon's own acts in one workspace.
pub fn decide_own(act: Act, workspace: WorkspaceName) -> Grant {
    let (sink, read_only) = match act {
        Act::Canary => (Sink::Compute, false),
        Act::Snapshot | Act::Scan => (Sink::Compute, true),
        Act::Undo | Act::OwnerCommand | Act::Coder | Act::JobTree | Act::JobWork | Act::JobCheck | Act::JobLand => {
            (Sink::WorkspaceWrite, false)
        }
    };
    Grant { sink, read_only, session: None, workspace }
}

/// Judges one call.
pub fn decide(request: &Request<'_>, rules: &Rules) -> Decision {
    let rule = rules.tools.get(request.tool).copied().unwrap_or_default();
    if rule == ToolRule::Deny {
        return Decision::Deny(Reason(format!("the owner has switched `{}` off", request.tool)));
    }
    if request.origin == Origin::Program && is_owners_room(request.effect.sink) {
        let why = "whoever is not the owner may not use the owner's files, commands or conversations";
        return Decision::Deny(Reason(why.to_owned()));
    }
    let asked_by_owner = rule == ToolRule::Ask && !request.effect.read_only;
    let Some(why) = why_ask(request).or(asked_by_owner.then_some("you asked to be asked about this tool")) else {
        return Decision::Allow(grant(request));
    };
    if request.origin.is_attended() {
        return Decision::Ask(Box::new(question(request, rules, why)));
    }
    if Invariant::UnattendedDenies.is_broken() {
        return Decision::Allow(grant(request));
    }
    match request.effect.sink {
        Sink::Persist => Decision::Propose(Box::new(question(request, rules, why))),
        Sink::Compute
        | Sink::WorkspaceWrite
        | Sink::Fetch
        | Sink::Send
        | Sink::Reply
        | Sink::Credential
        | Sink::Destructive => Decision::Deny(Reason(format!("nobody is present to approve it: {why}"))),
    }
}

/// What works on the owner's own things. For a guest or a program the answer goes back to whoever asked, so that reading is
/// telling, and a question to the owner is a message from a stranger.
fn is_owners_room(sink: Sink) -> bool {
    match sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply => true,
        Sink::Fetch | Sink::Send | Sink::Persist | Sink::Credential | Sink::Destructive => false,
    }
}

/// The table of decision 0004: why a call must be asked about, or none
/// when it is free.
fn why_ask(request: &Request<'_>) -> Option<&'static str> {
    let effect = request.effect;
    match effect.sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply => None,
        // A body turns looking into telling; a credential that only reads is a look at its own host.
        Sink::Fetch if effect.payload.is_none() => why_ask_fetch(request),
        Sink::Credential if effect.read_only && effect.payload.is_none() => why_ask_fetch(request),
        Sink::Fetch | Sink::Send | Sink::Credential => why_ask_send(request).or(why_ask_bulk(request)),
        Sink::Persist if is_untrusted(request) && !Invariant::PersistenceProposed.is_broken() => {
            Some("it would change what persists, in a session that holds foreign text")
        }
        Sink::Persist => why_ask_bulk(request),
        Sink::Destructive => Some("it destroys or acts in bulk"),
    }
}

/// Whether somebody else's words may speak through the call. A program's words are nobody's, whatever the label says.
fn is_untrusted(request: &Request<'_>) -> bool {
    request.label.integrity == Integrity::Untrusted || request.origin == Origin::Program
}

/// Whether the owner wrote where it goes. What a program was told is not theirs to use.
fn is_to_owners(request: &Request<'_>) -> bool {
    request.destinations_are_owners && request.origin != Origin::Program
}

/// The label by which a call is judged that passes on texts which its session has not read. They speak with the session in
/// whatever leaves or is believed later. What is the owner's own and can be taken back is different: whether it is written
/// is the session's decision alone; the tool is told the label of the text and keeps it with what it wrote.
pub fn label_of_call(session: Label, passed_on: Option<Label>, effect: &Effect) -> Label {
    match (passed_on, effect.sink) {
        (None, _) => session,
        (Some(_), Sink::Persist) if effect.reversible => session,
        (
            Some(text),
            Sink::Compute
            | Sink::WorkspaceWrite
            | Sink::Fetch
            | Sink::Send
            | Sink::Reply
            | Sink::Persist
            | Sink::Credential
            | Sink::Destructive,
        ) => session.join(text),
    }
}

/// S2: an address can carry words out, so foreign words may not choose it where they could have read private ones.
fn why_ask_fetch(request: &Request<'_>) -> Option<&'static str> {
    let private = request.label.confidentiality == Confidentiality::Private;
    let leaks = is_untrusted(request) && private && !is_to_owners(request);
    (leaks && !Invariant::NoSilentSend.is_broken())
        .then_some("it would fetch an address that you did not write, in a session that holds private and foreign text")
}

/// S3: foreign words may neither choose who hears nor, beside private words, what is said. What stays with the owner and
/// can be taken back passes while they are there.
fn why_ask_send(request: &Request<'_>) -> Option<&'static str> {
    let stays = request.effect.reversible && request.origin.is_attended();
    if !is_untrusted(request) || stays || Invariant::NoSilentSend.is_broken() {
        return None;
    }
    match request.label.confidentiality {
        Confidentiality::Private => {
            Some("it would send something out of a session that holds private and foreign text")
        }
        Confidentiality::Public if !is_to_owners(request) => {
            Some("it would send something to somebody you did not name, in a session that holds foreign text")
        }
        Confidentiality::Public => None,
    }
}

/// Whether an effect counts towards [`BULK`]: it changes something outside of the workspace, which no snapshot brings back.
pub fn is_counted(effect: &Effect) -> bool {
    match effect.sink {
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply => false,
        Sink::Fetch => effect.payload.is_some(),
        Sink::Credential => !effect.read_only || effect.payload.is_some(),
        Sink::Send | Sink::Persist | Sink::Destructive => true,
    }
}

/// S7 by number: a task that touches one thing after another is asked about at each [`BULK`], as one call on all would be.
fn why_ask_bulk(request: &Request<'_>) -> Option<&'static str> {
    reaches_bulk(request).then_some("it acts in bulk: the task has touched many things")
}

/// Whether the call brings the task to another [`BULK`] of things.
pub(crate) fn reaches_bulk(request: &Request<'_>) -> bool {
    let after = request.touched.saturating_add(request.effect.count.max(1));
    is_counted(request.effect) && request.touched / BULK != after / BULK
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
