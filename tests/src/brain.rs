//! The scripted model of the end-to-end tests. It is a pure function of the conversation it is shown, so it behaves the
//! same whichever request of a job is asked again after a crash.

use serde_json::{Value, json};

use crate::repository::{RIGHT, TEST_COMMAND, WRONG};

/// A tool call with its result, as the conversation shows them.
#[derive(Clone, Debug)]
pub struct Step {
    pub tool: String,
    pub input: Value,
    pub result: String,
}

/// What the model does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Call { say: String, tool: &'static str, input: Value },
    Say(String),
}

/// All tool calls of a conversation that have a result, oldest first, from a request body of either dialect.
pub fn steps(body: &Value) -> Vec<Step> {
    let mut calls: Vec<(String, String, Value)> = Vec::new();
    let mut steps = Vec::new();
    let empty = Vec::new();
    for message in body["messages"].as_array().unwrap_or(&empty) {
        for call in message["tool_calls"].as_array().unwrap_or(&empty) {
            let input =
                serde_json::from_str(call["function"]["arguments"].as_str().unwrap_or("{}")).unwrap_or(json!({}));
            calls.push((text(&call["id"]), text(&call["function"]["name"]), input));
        }
        if message["role"] == "tool" {
            finish(&calls, &mut steps, &text(&message["tool_call_id"]), flatten(&message["content"]));
        }
        for block in message["content"].as_array().unwrap_or(&empty) {
            if block["type"] == "tool_use" {
                calls.push((text(&block["id"]), text(&block["name"]), block["input"].clone()));
            }
            if block["type"] == "tool_result" {
                finish(&calls, &mut steps, &text(&block["tool_use_id"]), flatten(&block["content"]));
            }
        }
    }
    steps
}

fn finish(calls: &[(String, String, Value)], steps: &mut Vec<Step>, id: &str, result: String) {
    if let Some((_, tool, input)) = calls.iter().rev().find(|(known, _, _)| known == id) {
        steps.push(Step { tool: tool.clone(), input: input.clone(), result });
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The text of a content field, which is a string or a list of text blocks.
fn flatten(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().map(|block| text(&block["text"])).collect::<Vec<_>>().join("\n"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

const COMMIT: &str = "git commit -qam 'billing: tax is a percentage'";

/// Finds and fixes the failing test of [`crate::Repository`], and commits. Each command that has an effect leaves a
/// mark of its own first, so that a test can see when one ran twice. When it is told that a call's outcome is unknown
/// it looks before it goes on, as a careful model would.
pub fn fixer(body: &Value) -> Next {
    let steps = steps(body);
    let mark = format!("echo step-{} >> .git/effects.log && ", steps.len());
    let exec =
        |say: &str, command: String| Next::Call { say: say.into(), tool: "exec", input: json!({ "command": command }) };
    let run_tests = || exec("Running the tests.", format!("{mark}{TEST_COMMAND}"));
    let read =
        || Next::Call { say: "Reading the program.".into(), tool: "read", input: json!({ "path": "billing.py" }) };
    let Some(last) = steps.last() else { return run_tests() };
    let command = last.input["command"].as_str().unwrap_or_default();
    if last.tool == "edit" || (last.tool == "exec" && last.result.contains("NOT repeated")) {
        // An edit is followed by a test run, whatever it said; a lost command is followed by a look.
        return if command.contains("git commit") {
            exec("Looking whether the commit was made.", "git log --oneline && git status --short".into())
        } else {
            run_tests()
        };
    }
    match last.tool.as_str() {
        "read" if last.result.contains(RIGHT) => run_tests(),
        "read" => Next::Call {
            say: "The tax is divided by ten.".into(),
            tool: "edit",
            input: json!({ "path": "billing.py", "old": WRONG, "new": RIGHT }),
        },
        "exec" if command.contains("git commit") || last.result.contains("tax is a percentage") => Next::Say(
            "Fixed the tax calculation in billing.py: it divided by 10 instead of 100. All tests pass.".into(),
        ),
        "exec" if command.contains("git log") => exec("Committing.", format!("{mark}{COMMIT}")),
        "exec" if last.result.contains("FAILED") => read(),
        "exec" if last.result.contains("OK") => exec("All green; committing.", format!("{mark}{COMMIT}")),
        other => Next::Say(format!("I am stuck after {other}: {}", last.result)),
    }
}
