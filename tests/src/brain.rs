//! The scripted model of the end-to-end tests. It is a pure function of the conversation it is shown, so it behaves the
//! same whichever request of a job is asked again after a crash.

use serde_json::{Value, json};
use testkit::model::SeenRequest;

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

/// All tool calls of a conversation with their results, oldest first. Results come in the order of the calls, whatever the
/// dialect.
pub fn steps(request: &SeenRequest) -> Vec<Step> {
    let pairs = request.tool_calls().into_iter().zip(request.tool_results());
    pairs.map(|(call, result)| Step { tool: call.name, input: call.input, result: result.content }).collect()
}

const COMMIT: &str = "git commit -qam 'billing: tax is a percentage'";

/// Finds and fixes the failing test of [`crate::Repository`], and commits. Each command that has an effect leaves a
/// mark of its own first, so that a test can see when one ran twice. When it is told that a call's outcome is unknown
/// it looks before it goes on, as a careful model would.
pub fn fixer(request: &SeenRequest) -> Next {
    let steps = steps(request);
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
