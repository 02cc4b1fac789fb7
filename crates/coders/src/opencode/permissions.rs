//! What opencode asks before it does something, and its questions. Owns their translation both ways.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    Action, CoderEvent, Permission, Verdict,
    border::{MAX_LINE, files},
    text,
};

use super::requests::{About, Requests};

/// Permissions that wait at once; those beyond are refused.
const MAX_OPEN: usize = 1024;
/// The most questions at once that are answered.
const MAX_QUESTIONS: usize = 64;
/// opencode ends the turn where a refusal gives no reason.
const NO_REASON: &str = "this was not allowed";

/// The permissions and questions that wait.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// By name, with how many questions it consists of.
    open: BTreeMap<String, usize>,
}

impl Permissions {
    /// Something is asked. Nothing for what waits already.
    pub fn asked(&mut self, asked: &Value) -> Option<CoderEvent> {
        let id = asked["id"].as_str()?;
        if self.open.len() >= MAX_OPEN || self.open.contains_key(id) {
            return None;
        }
        self.open.insert(id.to_owned(), asked["questions"].as_array().map_or(0, |all| all.len().min(MAX_QUESTIONS)));
        Some(CoderEvent::PermissionAsked(permission(id, asked)))
    }

    /// It waits no more. Nothing where we answered it ourselves.
    pub fn settled(&mut self, id: &str) -> Option<CoderEvent> {
        self.open.remove(id).map(|_| CoderEvent::PermissionWithdrawn { id: id.to_owned() })
    }

    /// Only those in the list wait, of those whose names begin so.
    pub fn only(&mut self, listed: &[Value], prefix: &str) -> Vec<CoderEvent> {
        let listed: BTreeSet<&str> = listed.iter().filter_map(|asked| asked["id"].as_str()).collect();
        let gone: Vec<String> =
            self.open.keys().filter(|id| id.starts_with(prefix) && !listed.contains(id.as_str())).cloned().collect();
        gone.iter().filter_map(|id| self.settled(id)).collect()
    }

    /// The turn is over.
    pub fn end(&mut self) -> Vec<CoderEvent> {
        let open = std::mem::take(&mut self.open);
        open.into_keys().map(|id| CoderEvent::PermissionWithdrawn { id }).collect()
    }

    /// The answer to one, as a line; none where it does not wait.
    pub fn answer(&mut self, requests: &mut Requests, id: &str, verdict: &Verdict) -> Option<String> {
        let questions = self.open.remove(id)?;
        if id.starts_with("que") {
            let answer = match verdict {
                Verdict::Allow => "Use your own judgement.",
                Verdict::Deny { why } => reason(why),
            };
            let answers = vec![[answer]; questions];
            return Some(requests.post(About::Reply, &format!("/question/{id}/reply"), &json!({"answers": answers})));
        }
        let body = match verdict {
            Verdict::Allow => json!({"reply": "once"}),
            Verdict::Deny { why } => json!({"reply": "reject", "message": reason(why)}),
        };
        Some(requests.post(About::Reply, &format!("/permission/{id}/reply"), &body))
    }
}

fn reason(why: &str) -> &str {
    if why.trim().is_empty() { NO_REASON } else { why }
}

fn permission(id: &str, asked: &Value) -> Permission {
    if let Some(questions) = asked["questions"].as_array() {
        let first = questions.iter().find_map(|question| question["question"].as_str()).unwrap_or_default();
        let action = Action::Other { arguments: asked["questions"].to_string() };
        return Permission {
            id: id.to_owned(),
            tool: "question".to_owned(),
            action,
            reason: Some(text::summary(first)),
        };
    }
    let tool = text::head(asked["permission"].as_str().unwrap_or_default(), MAX_LINE + 1);
    Permission { id: id.to_owned(), tool: tool.to_owned(), action: action(tool, asked), reason: None }
}

fn action(tool: &str, asked: &Value) -> Action {
    let metadata = &asked["metadata"];
    let text = |key: &str| metadata[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let patterns =
        || -> Vec<String> { files(asked["patterns"].as_array().into_iter().flatten().filter_map(Value::as_str)) };
    let other = || {
        let arguments = json!({"permission": tool, "patterns": asked["patterns"], "metadata": metadata});
        Action::Other { arguments: arguments.to_string() }
    };
    match tool {
        "bash" => text("command").map_or_else(other, |script| Action::Command { script }),
        "edit" => {
            let changed = metadata["files"].as_array().into_iter().flatten();
            let mut paths = files(changed.filter_map(|file| file["filePath"].as_str()));
            if paths.is_empty() {
                paths = text("filepath").map_or_else(patterns, |path| vec![path]);
            }
            Action::Write { paths }
        }
        "read" | "glob" | "grep" | "list" | "external_directory" => {
            Action::Read { paths: text("filepath").map_or_else(patterns, |path| vec![path]) }
        }
        "webfetch" => text("url").map_or_else(other, |target| Action::Fetch { target }),
        "websearch" => text("query").map_or_else(other, |target| Action::Fetch { target }),
        _ => other(),
    }
}
