//! What the owner is told when a turn ends otherwise than by the model's own answer, and why.

use policy::Redactor;
use store::{CallRecord, CallState};
use types::{ProviderError, ProviderErrorKind, ToolEnd, TurnEnd};

use crate::cap::line;

/// The most calls that are listed.
const LISTED: usize = 8;

/// The final text. `said` is what the model said last.
pub(crate) fn final_text(end: &TurnEnd, calls: &[CallRecord], said: &str) -> String {
    let first = match end {
        TurnEnd::Done => return said.to_owned(),
        TurnEnd::Refused => return refused(said),
        TurnEnd::Stopped => "Stopped, as you asked.".to_owned(),
        TurnEnd::Limit { limit } => format!("I had to stop before the task was done: {limit}."),
        TurnEnd::Looping { repeated } => format!(
            "I stopped because I was going round in circles: `{repeated}` kept giving the same result. The task is not \
             done."
        ),
        TurnEnd::Failed { error } => format!("The task failed: {error}."),
    };
    let mut parts = vec![first, done(calls)];
    if !said.trim().is_empty() {
        parts.push(format!("The last thing I said: {}", line(said, 600)));
    }
    parts.extend(left(calls));
    parts.extend(what_next(end));
    parts.join("\n\n")
}

fn what_next(end: &TurnEnd) -> Option<String> {
    let text = match end {
        TurnEnd::Limit { .. } => {
            "What is left: the rest of the task. Say \"go on\" to continue with a fresh allowance for one task; limits \
             are set under [budget]."
        }
        TurnEnd::Looping { .. } => "What is left: the rest of the task. Tell me what to try instead.",
        TurnEnd::Stopped => "Say \"go on\" to continue.",
        TurnEnd::Done | TurnEnd::Refused | TurnEnd::Failed { .. } => return None,
    };
    Some(text.to_owned())
}

/// What the calls of the turn did, the last ones by name.
fn done(calls: &[CallRecord]) -> String {
    let finished: Vec<String> = calls.iter().filter_map(shown).collect();
    if finished.is_empty() {
        return "Nothing had been done yet.".to_owned();
    }
    let earlier = finished.len().saturating_sub(LISTED);
    let mut lines = vec!["Done so far:".to_owned()];
    if earlier > 0 {
        lines.push(format!("- {earlier} earlier calls"));
    }
    lines.extend(finished[earlier..].iter().map(|line| format!("- {line}")));
    lines.join("\n")
}

/// The calls that the model had asked for and that did not run any more.
fn left(calls: &[CallRecord]) -> Option<String> {
    let names: Vec<&str> =
        calls.iter().filter(|record| is_left(record)).map(|record| record.call.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("Not run any more: {}.", line(&names.join(", "), 300)))
}

/// A call has its summary from the moment it starts.
fn is_left(record: &CallRecord) -> bool {
    record.state == CallState::Finished(ToolEnd::Stopped) && record.summary.is_empty()
}

fn shown(record: &CallRecord) -> Option<String> {
    let CallState::Finished(end) = record.state else { return None };
    if is_left(record) {
        return None;
    }
    let what = if record.summary.is_empty() { &record.call.name } else { &record.summary };
    let how = match end {
        ToolEnd::Ok => "",
        ToolEnd::Error => " (failed)",
        ToolEnd::Denied => " (not allowed)",
        ToolEnd::Stopped => " (stopped)",
        ToolEnd::Unknown => " (outcome unknown)",
    };
    Some(format!("{}{how}", line(what, 120)))
}

/// What the model is told at the end of the conversation, so that the next turn knows what became of this one.
pub(crate) fn note(end: &TurnEnd) -> Option<String> {
    match end {
        TurnEnd::Done | TurnEnd::Refused => None,
        TurnEnd::Stopped => Some("[The owner stopped the task here.]".to_owned()),
        TurnEnd::Limit { limit } => Some(format!("[The task was ended here: {limit}.]")),
        TurnEnd::Looping { .. } => Some("[The task was ended here, because it went round in circles.]".to_owned()),
        TurnEnd::Failed { .. } => Some("[The task was ended here by a failure outside of it.]".to_owned()),
    }
}

/// The final text of a turn that the model refused.
pub(crate) fn refused(said: &str) -> String {
    if said.trim().is_empty() {
        "The model refused to answer this. Put it differently, or use another model.".to_owned()
    } else {
        said.to_owned()
    }
}

/// The error of an answer that never came to its end.
pub(crate) fn too_long(max_output: u32) -> String {
    format!("the answer was cut off at {max_output} tokens again and again; raise max_output_tokens under [agent]")
}

/// What failed at the provider, and what the owner can do.
pub(crate) fn provider_failed(redactor: &Redactor, error: &ProviderError) -> String {
    let hint = match error.kind {
        ProviderErrorKind::Auth => "check the provider's key: `factotum secret set` stores it anew",
        ProviderErrorKind::Quota => "add money or quota to the provider's account, or use another model",
        ProviderErrorKind::RateLimited | ProviderErrorKind::Overloaded | ProviderErrorKind::Server => {
            "it was tried several times; try again later, or use another model"
        }
        ProviderErrorKind::Timeout | ProviderErrorKind::Network | ProviderErrorKind::Truncated => {
            "it was tried several times; check the network and the provider's base_url"
        }
        ProviderErrorKind::Malformed => "check that the provider's `api` and base_url belong together",
        ProviderErrorKind::ContextOverflow | ProviderErrorKind::TooLarge => {
            "set context_tokens under [agent] to the size that the model has, or begin anew with /new"
        }
        ProviderErrorKind::BadRequest => "check the model's name and its limits under [agent]",
        ProviderErrorKind::NotFound => "check the model's name and the provider's base_url",
        ProviderErrorKind::Cancelled => "try again",
    };
    let what = line(&redactor.redact(&error.to_string()), 500);
    format!("{what}; {hint}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::{ToolCall, TurnId};

    use super::*;

    fn call(number: usize, end: ToolEnd) -> CallRecord {
        CallRecord {
            turn: TurnId(1),
            step: 1,
            call: ToolCall { id: number.to_string(), name: "t".into(), input: json!({}) },
            state: CallState::Finished(end),
            summary: format!("t: {number}"),
            read_only: false,
            output: None,
        }
    }

    #[test]
    fn a_limit_is_told_with_what_was_done_and_what_is_left() {
        let mut calls: Vec<CallRecord> = (0..10).map(|number| call(number, ToolEnd::Ok)).collect();
        calls.push(call(10, ToolEnd::Unknown));
        let end = TurnEnd::Limit { limit: "the task has used all of its 3 steps".to_owned() };
        insta::assert_snapshot!(final_text(&end, &calls, "I look at\nthe tests."));
    }

    #[test]
    fn a_stop_before_anything_is_told() {
        insta::assert_snapshot!(final_text(&TurnEnd::Stopped, &[], ""));
    }

    #[test]
    fn provider_errors_say_what_to_do_and_hide_secrets() {
        let name = types::SecretName::new("key").expect("the name is valid");
        let redactor = Redactor::new([(name, "hunter22".to_owned())]);
        let error = ProviderError::new(ProviderErrorKind::Auth, "bad key hunter22");
        assert_eq!(
            provider_failed(&redactor, &error),
            "the provider refused the key: bad key [secret key]; check the provider's key: `factotum secret set` stores \
             it anew"
        );
    }
}
