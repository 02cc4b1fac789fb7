//! The script, driven by hand: each test plays the tools.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking, and run the toy project")]

use std::{fs, path::Path, sync::Arc};

use types::{Message, Role, ToolCall};

use super::*;

fn request(messages: Vec<Message>) -> ModelRequest {
    ModelRequest {
        model: "scripted".to_owned(),
        system: Arc::from(""),
        tools: Arc::from([]),
        messages,
        max_output_tokens: 1000,
        thinking_tokens: None,
        media: types::MediaBytes::default(),
        output: None,
        cache_key: None,
    }
}

/// Plays the job to its end with `tool` as the tools; gives the calls in short form and the final text.
fn play(opening: &str, mut tool: impl FnMut(&ToolCall) -> (String, bool)) -> (Vec<String>, String) {
    let mut messages = vec![Message::user(opening)];
    let mut calls = Vec::new();
    for _ in 0..40 {
        let reply = reply(&request(messages.clone()));
        messages.push(Message { role: Role::Assistant, blocks: reply.blocks });
        let asked: Vec<ToolCall> = messages.last().unwrap().tool_uses().collect();
        if asked.is_empty() {
            return (calls, messages.last().unwrap().text());
        }
        let mut results = Vec::new();
        for call in asked {
            calls.push(short(&call));
            let (content, is_error) = tool(&call);
            results.push(Block::ToolResult { call: call.id, content, is_error });
        }
        messages.push(Message { role: Role::User, blocks: results });
    }
    panic!("the script does not end: {calls:?}");
}

fn short(call: &ToolCall) -> String {
    let command = call.input["command"].as_str().or_else(|| call.input["path"].as_str()).unwrap_or_default();
    let first: String = command.split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!("{} {first}", call.name)
}

fn write_toy(directory: &Path) {
    for (path, content, _) in TOY_FILES {
        fs::write(directory.join(path), content).unwrap();
    }
}

/// The tools as they are, without a sandbox: the toy project is our own.
fn run(directory: &Path, call: &ToolCall) -> (String, bool) {
    let text = |key: &str| call.input[key].as_str().unwrap().to_owned();
    let path = || directory.join(text("path"));
    match call.name.as_str() {
        "exec" => {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &text("command")]).current_dir(directory);
            shell.env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1");
            let out = shell.output().unwrap();
            let shown = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
            (shown.into_owned(), !out.status.success())
        }
        "read" => (fs::read_to_string(path()).unwrap(), false),
        "edit" => {
            let before = fs::read_to_string(path()).unwrap();
            assert_eq!(before.matches(&text("old")).count(), 1, "the text to replace must be unique");
            fs::write(path(), before.replace(&text("old"), &text("new"))).unwrap();
            ("edited".to_owned(), false)
        }
        "write" => {
            fs::write(path(), text("content")).unwrap();
            ("written".to_owned(), false)
        }
        other => panic!("the script calls {other}"),
    }
}

fn play_in(directory: &Path, mut change: impl FnMut(&ToolCall) -> Option<(String, bool)>) -> (Vec<String>, String) {
    write_toy(directory);
    play("practice, please", |call| change(call).unwrap_or_else(|| run(directory, call)))
}

fn commits(directory: &Path) -> String {
    let call = ToolCall {
        id: String::new(),
        name: "exec".to_owned(),
        input: serde_json::json!({"command": "git log --format=%s; git status --porcelain"}),
    };
    run(directory, &call).0
}

const BOTH_COMMITS: &str = "greet: use the name that was given\nthe practice project\n";

#[test]
fn the_job_is_done_for_real() {
    let directory = tempfile::tempdir().unwrap();
    let (calls, text) = play_in(directory.path(), |_| None);
    let expected = [
        "exec [ -d .git",
        "exec sh test.sh",
        "read test.sh",
        "read greet.sh",
        "edit greet.sh",
        "exec sh test.sh",
        "exec rm -r build",
        "exec git add -A;",
    ];
    assert_eq!(calls, expected);
    assert!(text.contains("greet.sh | 2 +-"), "{text}");
    assert!(text.contains("With your approval"), "{text}");
    assert_eq!(commits(directory.path()), BOTH_COMMITS);
}

#[test]
fn a_refused_removal_is_taken_well() {
    let directory = tempfile::tempdir().unwrap();
    let refuse = |call: &ToolCall| short(call).contains("rm -r").then(|| ("the owner said no".to_owned(), true));
    let (_, text) = play_in(directory.path(), refuse);
    assert!(text.contains("still there"), "{text}");
    assert!(directory.path().join("build").exists());
    assert_eq!(commits(directory.path()), BOTH_COMMITS);
}

#[test]
fn unknown_outcomes_are_looked_into() {
    for lost in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let mut count = 0;
        let (calls, text) = play_in(directory.path(), |call| {
            count += 1;
            // The call takes effect, and its result is lost.
            (count == lost + 1).then(|| {
                run(directory.path(), call);
                ("its outcome is unknown".to_owned(), true)
            })
        });
        assert!(text.contains("greet.sh | 2 +-"), "{lost}: {calls:?} {text}");
        assert_eq!(commits(directory.path()), BOTH_COMMITS, "{lost}");
    }
}

#[test]
fn a_broken_sandbox_ends_the_job_with_its_words() {
    let (calls, text) = play("try it", |_| ("the sandbox cannot be built".to_owned(), true));
    assert_eq!(calls.len(), 1 + 3);
    assert!(text.contains("the sandbox cannot be built"), "{text}");
}

#[test]
fn other_talk_is_answered_with_what_it_is() {
    for talk in ["hi", "what is the weather?", "country music"] {
        let (calls, text) = play(talk, |_| panic!("no tool is to be called"));
        assert_eq!(calls, Vec::<String>::new());
        assert!(text.contains("a script") && text.contains("factotum setup"), "{text}");
    }
}

#[test]
fn talk_during_the_job_does_not_end_it() {
    let first = reply(&request(vec![Message::user("demo")]));
    let id = |blocks: &[Block]| match &blocks[1] {
        Block::ToolUse { id, .. } => id.clone(),
        other => panic!("{other:?}"),
    };
    let result = Block::ToolResult { call: id(&first.blocks), content: String::new(), is_error: false };
    let messages = vec![
        Message::user("demo"),
        Message { role: Role::Assistant, blocks: first.blocks },
        Message { role: Role::User, blocks: vec![result, Block::text("hurry, try harder")] },
    ];
    let second = reply(&request(messages));
    assert_eq!(second.stop, StopReason::ToolUse);
    assert_eq!(id(&second.blocks), "practice_2");
}

#[tokio::test]
async fn the_stream_ends_once() {
    let cancel = CancellationToken::new();
    let events: Vec<ModelEvent> =
        PracticeModel::new().stream(request(vec![Message::user("hi")]), cancel.clone()).collect().await;
    let text: String = events
        .iter()
        .filter_map(|event| if let ModelEvent::TextDelta(text) = event { Some(text.as_str()) } else { None })
        .collect();
    let Some(ModelEvent::Finished(reply)) = events.last() else { panic!("{events:?}") };
    assert_eq!(reply.blocks, [Block::text(text)]);
    cancel.cancel();
    let stopped: Vec<ModelEvent> =
        PracticeModel::new().stream(request(vec![Message::user("hi")]), cancel).collect().await;
    assert_eq!(stopped, [ModelEvent::Failed(ProviderError::new(ProviderErrorKind::Cancelled, ""))]);
}
