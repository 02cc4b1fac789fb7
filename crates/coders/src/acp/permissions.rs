//! What a program asks before it does something. Owns the translation both ways, and that a permission lifts one use only.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Action, CoderEvent, Permission, Verdict, text};

/// Permissions that wait at once; those beyond are refused.
const MAX_OPEN: usize = 1024;

/// The permissions that wait, by our name for them: the request's own number as JSON.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    request: Value,
    options: Value,
}

impl Permissions {
    /// Something is asked. An answer at once where it cannot be kept in mind.
    pub fn asked(&mut self, request: &Value, about: &Value) -> Result<CoderEvent, String> {
        let id = request.to_string();
        if self.open.len() >= MAX_OPEN || self.open.contains_key(&id) {
            return Err(answer(request, None));
        }
        let call = &about["toolCall"];
        let tool = call["kind"].as_str().or(call["title"].as_str()).unwrap_or("tool").to_owned();
        let reason = call["title"].as_str().map(text::summary);
        let permission = Permission { id: id.clone(), tool, action: action(call), reason };
        self.open.insert(id, Open { request: request.clone(), options: about["options"].clone() });
        Ok(CoderEvent::PermissionAsked(permission))
    }

    /// The answer to one, as a line; none where it does not wait. Where no option lifts just one use, it is not lifted.
    pub fn answer(&mut self, id: &str, verdict: &Verdict) -> Option<String> {
        let open = self.open.remove(id)?;
        let kind = match verdict {
            Verdict::Allow => "allow_once",
            Verdict::Deny { .. } => "reject_once",
        };
        let options = open.options.as_array().into_iter().flatten();
        let option = options.filter(|option| option["kind"] == kind).find_map(|option| option["optionId"].as_str());
        Some(answer(&open.request, option))
    }

    /// The turn is cancelled: what waits is answered so.
    pub fn cancel(&mut self) -> Vec<String> {
        let open = std::mem::take(&mut self.open);
        open.into_values().map(|open| answer(&open.request, None)).collect()
    }

    /// The turn is over.
    pub fn end(&mut self) -> Vec<CoderEvent> {
        let open = std::mem::take(&mut self.open);
        open.into_keys().map(|id| CoderEvent::PermissionWithdrawn { id }).collect()
    }
}

/// An answer: one of the options, or that the turn is cancelled.
pub(super) fn answer(request: &Value, option: Option<&str>) -> String {
    let outcome = match option {
        Some(option) => json!({"outcome": "selected", "optionId": option}),
        None => json!({"outcome": "cancelled"}),
    };
    json!({"jsonrpc": "2.0", "id": request, "result": {"outcome": outcome}}).to_string()
}

fn action(call: &Value) -> Action {
    let input = &call["rawInput"];
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| input[*key].as_str().filter(|text| !text.is_empty())).map(str::to_owned)
    };
    let other = || {
        let arguments =
            json!({"title": call["title"], "kind": call["kind"], "input": input, "content": call["content"]});
        Action::Other { arguments: arguments.to_string() }
    };
    let paths = paths(call);
    match call["kind"].as_str().unwrap_or_default() {
        "execute" => match command(input).or_else(|| call["title"].as_str().map(str::to_owned)) {
            Some(script) if !script.is_empty() => Action::Command { script },
            _ => other(),
        },
        "edit" | "delete" | "move" if !paths.is_empty() => Action::Write { paths },
        "read" | "search" if !paths.is_empty() => Action::Read { paths },
        "fetch" => text(&["url", "query", "prompt"]).map_or_else(other, |target| Action::Fetch { target }),
        _ => other(),
    }
}

/// A command is a text, or a list of arguments.
pub(super) fn command(input: &Value) -> Option<String> {
    let words = input["command"].as_array().map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    input["command"].as_str().map(str::to_owned).or_else(|| words.map(|words| words.join(" ")))
}

/// The files that a call is about.
pub(super) fn paths(call: &Value) -> Vec<String> {
    let located = call["locations"].as_array().into_iter().flatten().map(|location| &location["path"]);
    let changed = call["content"].as_array().into_iter().flatten().filter(|part| part["type"] == "diff");
    let mut paths: Vec<String> = Vec::new();
    for path in located.chain(changed.map(|part| &part["path"])).filter_map(Value::as_str) {
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    if paths.is_empty() {
        let keys = ["file_path", "filePath", "filepath", "abs_path", "path"];
        paths.extend(keys.iter().find_map(|key| call["rawInput"][*key].as_str()).map(str::to_owned));
    }
    paths
}
