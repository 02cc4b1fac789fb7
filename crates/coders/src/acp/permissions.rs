//! What a program asks before it does something. Owns the translation both ways, and that a permission lifts one use only.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Action, CoderEvent, Permission, Verdict, border::files, text};

/// Permissions that wait at once; those beyond are refused.
const MAX_OPEN: usize = 256;

/// The permissions that wait, by our name for them: the request's own number as JSON.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    request: Value,
    /// The options that lift this one use, and that lift nothing.
    allow: Option<String>,
    reject: Option<String>,
}

impl Permissions {
    /// Something is asked. An answer at once where it cannot be kept in mind.
    pub fn asked(&mut self, request: &Value, about: &Value) -> Result<CoderEvent, String> {
        let id = request.to_string();
        if self.open.len() >= MAX_OPEN || self.open.contains_key(&id) {
            return Err(answer(request, None));
        }
        let call = &about["toolCall"];
        let tool = text::summary(call["kind"].as_str().or(call["title"].as_str()).unwrap_or("tool"));
        let reason = call["title"].as_str().map(text::summary);
        let permission = Permission { id: id.clone(), tool, action: action(call), reason };
        let option = |kind: &str| {
            let options = about["options"].as_array().into_iter().flatten();
            let mut names = options.filter(|option| option["kind"] == kind).filter_map(|one| one["optionId"].as_str());
            names.next().map(str::to_owned)
        };
        let (allow, reject) = (option("allow_once"), option("reject_once"));
        self.open.insert(id, Open { request: request.clone(), allow, reject });
        Ok(CoderEvent::PermissionAsked(permission))
    }

    /// The answer to one, as a line; none where it does not wait. Where no option lifts just one use, it is not lifted.
    pub fn answer(&mut self, id: &str, verdict: &Verdict) -> Option<String> {
        let open = self.open.remove(id)?;
        let option = match verdict {
            Verdict::Allow => open.allow,
            Verdict::Deny { .. } => open.reject,
        };
        Some(answer(&open.request, option.as_deref()))
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

/// The files of a list of places.
pub(super) fn located(locations: &Value) -> impl Iterator<Item = &str> {
    locations.as_array().into_iter().flatten().filter_map(|location| location["path"].as_str())
}

/// The files of the differences that a call shows.
pub(super) fn changed(content: &Value) -> impl Iterator<Item = &str> {
    let differences = content.as_array().into_iter().flatten().filter(|part| part["type"] == "diff");
    differences.filter_map(|part| part["path"].as_str())
}

/// The files that a call is about.
pub(super) fn paths(call: &Value) -> Vec<String> {
    let mut paths = files(located(&call["locations"]).chain(changed(&call["content"])));
    if paths.is_empty() {
        paths = files(named(&call["rawInput"]).into_iter());
    }
    paths
}

/// The file that a call names in its arguments.
pub(super) fn named(input: &Value) -> Option<&str> {
    let keys = ["file_path", "filePath", "filepath", "abs_path", "path"];
    keys.iter().find_map(|key| input[*key].as_str())
}
