//! What the practice model says next: a pure function of the conversation. Each step is chosen from what the last ones
//! brought, so a restart in the middle, a refusal or a failure changes what follows.

use serde_json::{Value, json};
use types::{Block, Message, Role};

use super::toy::{FAILED, FIX, GREET, MISTAKE, PASSED};

/// The words that set the job off.
const TRIGGERS: [&str; 4] = ["practice", "try", "demo", "fix"];
/// After so many calls the script gives up, whatever the reason.
const MAX_CALLS: usize = 24;
/// How often one step is tried.
const MAX_TRIES: usize = 3;

const PREPARE: &str = "[ -d .git ] || { git init -q && git add -A && \
    git -c user.name=Practice -c user.email=practice@localhost commit -q -m 'the practice project'; }";
const TEST: &str = "sh test.sh";
const CLEAN: &str = "rm -r build";
/// Does nothing the second time, so it can be repeated when its outcome is unknown.
const COMMIT: &str = "git add -A; git diff --cached --quiet || \
    git -c user.name=Practice -c user.email=practice@localhost commit -q -m 'greet: use the name that was given'; \
    git show --stat --format='%h %s' HEAD";

const INTRODUCTION: &str = "I am the practice model: a script, not an artificial intelligence. I can show you the \
    machine at work: say `practice`, and I will find and fix a failing test in a toy project, in the real sandbox, with \
    a real question to you and a real record of everything. To talk with a real model, run `factotum setup` and name a \
    provider and its key.";

/// What to say and which tools to call. Without calls it is the final answer.
pub(super) struct Turn {
    pub text: String,
    pub calls: Vec<(&'static str, Value)>,
}

/// One call of the present job, and what came of it.
struct Done {
    step: Step,
    result: Option<(String, bool)>,
}

/// The steps of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Prepare,
    Test,
    ReadTest,
    ReadGreet,
    Edit,
    Rewrite,
    Clean,
    Commit,
}

/// The next turn of the script.
pub(super) fn next(messages: &[Message]) -> Turn {
    match job(messages) {
        Some(done) => job_turn(&done),
        None => say(INTRODUCTION),
    }
}

/// The steps of the job that is going on; none when there is no job. A job lasts from the message that sets it off to
/// the next final answer; what the owner says in between does not end it.
fn job(messages: &[Message]) -> Option<Vec<Done>> {
    let mut start = None;
    for (index, message) in messages.iter().enumerate() {
        match message.role {
            Role::User if start.is_none() && sets_off(&message.text()) => start = Some(index),
            Role::Assistant if message.tool_uses().next().is_none() => start = None,
            Role::User | Role::Assistant => {}
        }
    }
    let job = &messages[start?..];
    let calls = job.iter().flat_map(Message::tool_uses);
    Some(
        calls
            .filter_map(|call| {
                let step = step_of(&call.name, &call.input)?;
                Some(Done { step, result: result_of(job, &call.id) })
            })
            .collect(),
    )
}

fn sets_off(text: &str) -> bool {
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_alphanumeric()).any(|word| TRIGGERS.contains(&word))
}

fn step_of(tool: &str, input: &Value) -> Option<Step> {
    let is = |key: &str, value: &str| input[key] == value;
    match tool {
        "exec" if is("command", PREPARE) => Some(Step::Prepare),
        "exec" if is("command", TEST) => Some(Step::Test),
        "exec" if is("command", CLEAN) => Some(Step::Clean),
        "exec" if is("command", COMMIT) => Some(Step::Commit),
        "read" if is("path", "test.sh") => Some(Step::ReadTest),
        "read" if is("path", "greet.sh") => Some(Step::ReadGreet),
        "edit" => Some(Step::Edit),
        "write" => Some(Step::Rewrite),
        _ => None,
    }
}

fn result_of(messages: &[Message], id: &str) -> Option<(String, bool)> {
    let blocks = messages.iter().flat_map(|message| &message.blocks);
    blocks.into_iter().find_map(|block| match block {
        Block::ToolResult { call, content, is_error } if call == id => Some((content.clone(), *is_error)),
        Block::Text { .. }
        | Block::Thinking { .. }
        | Block::RedactedThinking { .. }
        | Block::ToolUse { .. }
        | Block::ToolResult { .. }
        | Block::Media { .. }
        | Block::Opaque { .. } => None,
    })
}

fn job_turn(done: &[Done]) -> Turn {
    let Some(last) = done.last() else {
        return exec("I am the practice model, a script. First I put the toy project under git.", PREPARE);
    };
    if done.len() >= MAX_CALLS {
        return give_up("too many steps did not work", last);
    }
    match last.step {
        Step::Prepare => exec("Now I run the tests.", TEST),
        Step::Test => after_tests(done, last),
        Step::ReadTest | Step::ReadGreet => after_reading(done, last),
        Step::Edit if succeeded(last) => exec("Changed. I run the tests again.", TEST),
        Step::Edit => rewrite(),
        Step::Rewrite if succeeded(last) => exec("Written. I run the tests again.", TEST),
        Step::Rewrite => give_up("I could not change `greet.sh`", last),
        Step::Clean => exec("Now I commit the change.", COMMIT),
        Step::Commit => after_commit(done, last),
    }
}

fn after_tests(done: &[Done], last: &Done) -> Turn {
    let output = output(last);
    let changed = tries(done, Step::Edit) + tries(done, Step::Rewrite) > 0;
    if output.contains(PASSED) {
        let text = "All tests pass. The tests have left a `build` directory, which I would like to remove. Removing \
                    things needs your approval.";
        return exec(text, CLEAN);
    }
    if output.contains(FAILED) && changed {
        return give_up("the tests fail although I have fixed what I know of", last);
    }
    if output.contains(FAILED) {
        let calls = vec![("read", json!({"path": "test.sh"})), ("read", json!({"path": "greet.sh"}))];
        return Turn { text: "A test fails. I look at both files.".to_owned(), calls };
    }
    if tries(done, Step::Test) < MAX_TRIES {
        return exec("That told me nothing about the tests. I run them once more.", TEST);
    }
    give_up("the tests cannot be run", last)
}

fn after_reading(done: &[Done], last: &Done) -> Turn {
    let greet = done.iter().rfind(|done| done.step == Step::ReadGreet).map(output).unwrap_or_default();
    if greet.contains(MISTAKE) {
        let edit = json!({"path": "greet.sh", "old": MISTAKE, "new": FIX});
        let text = "The script prints `$nmae`, which is never set. I correct the name.";
        return Turn { text: text.to_owned(), calls: vec![("edit", edit)] };
    }
    if greet.contains(FIX) {
        return exec("The mistake is corrected already. I run the tests again.", TEST);
    }
    if tries(done, Step::ReadGreet) < MAX_TRIES {
        let text = "That is not what I expected to read. I look once more.";
        return Turn { text: text.to_owned(), calls: vec![("read", json!({"path": "greet.sh"}))] };
    }
    give_up("`greet.sh` is not the file that I know", last)
}

/// Writes the whole file: right also when it is not known whether an edit took effect.
fn rewrite() -> Turn {
    let content = GREET.replace(MISTAKE, FIX);
    let call = ("write", json!({"path": "greet.sh", "content": content}));
    Turn { text: "That edit did not work. I write the whole file instead.".to_owned(), calls: vec![call] }
}

fn after_commit(done: &[Done], last: &Done) -> Turn {
    let stat: Vec<&str> =
        output(last).lines().filter(|line| line.contains(" | ") || line.contains(" changed")).collect();
    if stat.is_empty() {
        return match tries(done, Step::Commit) < MAX_TRIES {
            true => exec("The commit is not certain. I try again; it does nothing if it is there already.", COMMIT),
            false => give_up("the change could not be committed", last),
        };
    }
    let cleaned = done.iter().rfind(|done| done.step == Step::Clean);
    let build = match cleaned {
        Some(clean) if succeeded(clean) => "With your approval I removed the `build` directory.",
        Some(_) => "The `build` directory is still there, because its removal was not approved or did not work.",
        None => "",
    };
    say(format!(
        "Done: the failing test in the toy project is fixed.\n\n`greet.sh` printed a variable that is never set, because \
         its name was misspelt. I corrected the name, ran the tests until they passed, and committed the change. \
         {build}\n\n```\n{}\n```\n\n`factotum undo` puts the project back, `factotum log show` shows the record. All of \
         this was scripted; for a real model run `factotum setup`.",
        stat.join("\n")
    ))
}

fn give_up(why: &str, last: &Done) -> Turn {
    let shown: String = output(last).chars().take(400).collect();
    let shown = shown.replace("```", "'''");
    say(format!(
        "I stop here: {why}. I am a script and know only this one job. The last thing I was told:\n\n```\n{shown}\n```\n\n\
         For a real model run `factotum setup`."
    ))
}

fn tries(done: &[Done], step: Step) -> usize {
    done.iter().filter(|done| done.step == step).count()
}

fn output(done: &Done) -> &str {
    done.result.as_ref().map_or("", |(content, _)| content)
}

fn succeeded(done: &Done) -> bool {
    done.result.as_ref().is_some_and(|(_, is_error)| !is_error)
}

fn exec(text: &str, command: &str) -> Turn {
    Turn { text: text.to_owned(), calls: vec![("exec", json!({"command": command}))] }
}

fn say(text: impl Into<String>) -> Turn {
    Turn { text: text.into(), calls: Vec::new() }
}
