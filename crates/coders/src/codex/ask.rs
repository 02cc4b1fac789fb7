//! What Codex asks of whoever drives it: permissions, which go to our gate, and everything else, which is politely refused.

use serde_json::{Value, json};

use super::{item::text, shell::script};
use crate::{Action, Permission, Verdict, border::files, names::is_fit, text::head};

/// How the answer to a permission is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `accept` and `decline`.
    Item,
    /// The older `approved` and `denied`.
    Review,
}

/// What becomes of a request.
pub(super) enum Asked {
    /// Our gate is asked.
    Permission(Box<Permission>, Form),
    /// This is answered at once, and a remark made.
    Refused { line: String, note: String },
}

/// The most questions at once that are answered.
const MAX_QUESTIONS: usize = 32;
/// JSON-RPC for a method that is not there.
const NO_METHOD: i64 = -32601;

/// Judges a request by its method alone. `paths` are the files of the change that it is about, as far as known.
pub(super) fn asked(id: &Value, method: &str, params: &Value, paths: &[String]) -> Asked {
    let permission = |tool: &str, action: Action, form: Form| {
        // Requests are counted anew by each process; a turn's name is never used again.
        let id = format!("{}/{}", text(&params["turnId"]), plain(id));
        let reason = params["reason"].as_str().map(str::to_owned);
        Asked::Permission(Box::new(Permission { id, tool: tool.to_owned(), action, reason }), form)
    };
    match method {
        "item/commandExecution/requestApproval" => permission("command", command(params), Form::Item),
        "item/fileChange/requestApproval" => permission("apply_patch", write(paths, params), Form::Item),
        "execCommandApproval" => {
            let argv: Vec<&str> =
                params["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let action = match argv.as_slice() {
                [_, "-lc" | "-c", script] => Action::Command { script: (*script).to_owned() },
                _ => other(params),
            };
            permission("command", action, Form::Review)
        }
        "applyPatchApproval" => {
            let changes = params["fileChanges"].as_object().into_iter();
            let paths = files(changes.flat_map(|map| map.keys().map(String::as_str)));
            permission("apply_patch", write(&paths, params), Form::Review)
        }
        _ => refused(id, method, params),
    }
}

/// A request's number as a text.
fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn other(params: &Value) -> Action {
    Action::Other { arguments: params.to_string() }
}

fn command(params: &Value) -> Action {
    let kind = params["kind"].as_str().unwrap_or("command");
    match (kind, params["command"].as_str(), params["networkApprovalContext"]["host"].as_str()) {
        (_, _, Some(host)) => Action::Fetch { target: host.to_owned() },
        ("command", Some(command), None) => Action::Command { script: script(command) },
        _ => other(params),
    }
}

fn write(paths: &[String], params: &Value) -> Action {
    // A grant for a whole directory would be more than this change.
    if paths.is_empty() || params["grantRoot"].is_string() {
        other(params)
    } else {
        Action::Write { paths: paths.to_vec() }
    }
}

/// The line that answers a permission. It lifts this one use and nothing for the session.
pub(super) fn answer(id: &Value, form: Form, verdict: &Verdict) -> String {
    let decision = match (form, verdict) {
        (Form::Item, Verdict::Allow) => json!("accept"),
        (Form::Item, Verdict::Deny { .. }) => json!("decline"),
        (Form::Review, Verdict::Allow) => json!("approved"),
        (Form::Review, Verdict::Deny { why }) => json!({"denied": {"rejection": why}}),
    };
    json!({"id": id, "result": {"decision": decision}}).to_string()
}

fn refused(id: &Value, method: &str, params: &Value) -> Asked {
    const NOBODY: &str = "Nobody can answer this now. Decide yourself, or end your turn with the question.";
    let (what, result) = match method {
        "item/tool/requestUserInput" => {
            let questions = params["questions"].as_array().into_iter().flatten().take(MAX_QUESTIONS);
            let questions = questions.filter(|question| question["id"].as_str().is_some_and(is_fit));
            let answers = questions.map(|question| (text(&question["id"]), json!({"answers": [NOBODY]})));
            ("a question", Some(json!({"answers": answers.collect::<serde_json::Map<_, _>>()})))
        }
        "mcpServer/elicitation/request" => ("a question of an MCP server", Some(json!({"action": "decline"}))),
        "item/permissions/requestApproval" => {
            ("wider permissions for itself", Some(json!({"permissions": {}, "scope": "turn"})))
        }
        "item/tool/call" => {
            let why = json!([{"type": "inputText", "text": "There is no such tool here."}]);
            ("a tool of the client", Some(json!({"success": false, "contentItems": why})))
        }
        "account/chatgptAuthTokens/refresh" => ("a new login", None),
        "attestation/generate" => ("an attestation", None),
        _ => (head(method, 100), None),
    };
    let line = match result {
        Some(result) => json!({"id": id, "result": result}),
        None => json!({"id": id, "error": {"code": NO_METHOD, "message": "not supported by this client"}}),
    };
    Asked::Refused { line: line.to_string(), note: format!("it asked for {what} and was refused") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(method: &str, params: &Value, paths: &[&str]) -> (Permission, Form) {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        match asked(&json!(3), method, params, &paths) {
            Asked::Permission(permission, form) => (*permission, form),
            Asked::Refused { note, .. } => panic!("{note}"),
        }
    }

    #[test]
    fn permissions_say_what_they_are_for() {
        let exec = "item/commandExecution/requestApproval";
        let patch = "item/fileChange/requestApproval";
        let script = |text: &str| Action::Command { script: text.to_owned() };
        let files = |list: &[&str]| Action::Write { paths: list.iter().map(|path| (*path).to_owned()).collect() };
        let stdin = json!({"turnId": "t", "kind": "writeStdin", "command": "x"});
        let root = json!({"turnId": "t", "grantRoot": "/"});
        let unknown = json!({"turnId": "t"});
        let table = [
            (exec, json!({"turnId": "t", "command": "/bin/bash -c 'ls; rm x'"}), vec![], script("ls; rm x")),
            (
                exec,
                json!({"command": "x", "networkApprovalContext": {"host": "a.b"}}),
                vec![],
                Action::Fetch { target: "a.b".to_owned() },
            ),
            (exec, stdin.clone(), vec![], other(&stdin)),
            (exec, unknown.clone(), vec![], other(&unknown)),
            (patch, unknown.clone(), vec!["a", "b"], files(&["a", "b"])),
            (patch, unknown.clone(), vec![], other(&unknown)),
            (patch, root.clone(), vec!["a"], other(&root)),
            ("execCommandApproval", json!({"command": ["bash", "-lc", "ls"]}), vec![], script("ls")),
            ("applyPatchApproval", json!({"fileChanges": {"a": {}, "b": {}}}), vec![], files(&["a", "b"])),
        ];
        for (method, params, paths, expected) in table {
            assert_eq!(permission(method, &params, &paths).0.action, expected, "{method} {params}");
        }
        assert_eq!(permission(exec, &json!({"turnId": "t"}), &[]).0.id, "t/3");
    }

    #[test]
    fn answers_lift_one_use() {
        let deny = Verdict::Deny { why: "no".to_owned() };
        let table = [
            (Form::Item, Verdict::Allow, json!("accept")),
            (Form::Item, deny.clone(), json!("decline")),
            (Form::Review, Verdict::Allow, json!("approved")),
            (Form::Review, deny, json!({"denied": {"rejection": "no"}})),
        ];
        for (form, verdict, decision) in table {
            let expected = json!({"id": "x", "result": {"decision": decision}});
            assert_eq!(answer(&json!("x"), form, &verdict), expected.to_string());
        }
    }

    #[test]
    fn everything_else_is_answered_and_grants_nothing() {
        let table = [
            ("item/tool/requestUserInput", "result"),
            ("mcpServer/elicitation/request", "result"),
            ("item/permissions/requestApproval", "result"),
            ("item/tool/call", "result"),
            ("account/chatgptAuthTokens/refresh", "error"),
            ("attestation/generate", "error"),
            ("request/of/the/future", "error"),
        ];
        for (method, key) in table {
            let Asked::Refused { line, .. } = asked(&json!(9), method, &json!({"questions": [{"id": "q"}]}), &[])
            else {
                panic!("{method} was not refused");
            };
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            assert!(line.get(key).is_some() && line["id"] == 9, "{method}: {line}");
            assert!(line["result"]["permissions"].as_object().is_none_or(serde_json::Map::is_empty));
            assert!(line["result"]["success"] != true && line["result"]["action"] != "accept");
        }
    }
}
