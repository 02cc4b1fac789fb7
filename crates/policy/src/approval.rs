//! Approvals: the question that the owner is shown, the hash that binds it to one call, and what redeems it.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};
use types::{Answer, Invariant, Question, Scope, Sink};

use crate::{
    Grant, allowance,
    decide::{Reason, Request, Rules, grant},
};

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
        workspace_state: request.workspace_state.map(str::to_owned),
        offer: allowance::offer(request),
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
        Answer::Approved { .. } => {}
        Answer::Denied => return refuse("the owner said no"),
        Answer::Expired => return refuse("nobody approved it in time"),
        Answer::Withdrawn => return refuse("the task was stopped before anybody approved it"),
        Answer::Text { .. } => return refuse("words are not an approval"),
    }
    let present = question(request, rules, &stored.reason);
    let is_bound = stored.hash == hash(stored) && present.hash == stored.hash;
    if !is_bound && !Invariant::ApprovalBound.is_broken() {
        return refuse(
            "the call, the session's label, the policy or a file of the workspace changed after it was shown; it must be \
             asked again",
        );
    }
    Ok(grant(request))
}

/// Whether a yes needs the second factor, where one is set up: for what persists, destroys or acts in bulk, and for every
/// answer that widens what may happen later.
pub fn needs_second_factor(question: &Question, scope: Scope) -> bool {
    let widens = match scope {
        Scope::Once => false,
        Scope::Task | Scope::Always => true,
    };
    widens
        || match question.effect.sink {
            Sink::Persist | Sink::Destructive => true,
            Sink::Compute | Sink::WorkspaceWrite | Sink::Fetch | Sink::Send | Sink::Reply | Sink::Credential => false,
        }
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
