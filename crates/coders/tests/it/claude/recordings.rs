//! What is recorded, and with which model. `cargo nextest run -p factotum-coders --run-ignored only recordings`.

use std::time::Duration;

use coders::{CoderCommand, CoderEvent, Start, Verdict};
use serde_json::{Value, json};
use testkit::model::{Fault, ModelServer, Part, Reply, SeenRequest};

use crate::record::{Place, Then};

const PROGRAM: &str = "@anthropic-ai/claude-code-linux-x64/claude";

/// Long enough for a tool to be in the middle of its work.
const MIDST: Then = Then::Wait(Duration::from_millis(700));

fn start(server: &ModelServer) -> Start {
    Start {
        model: Some("claude-sonnet-4-5".to_owned()),
        fresh: "5b2c1d7e-0a4f-4c3b-9d6e-0000000000ff".to_owned(),
        placeholder: Some(("ANTHROPIC_API_KEY".to_owned(), "stand-in-for-a-key-0123456789".to_owned())),
        base_url: Some(server.base_url()),
        ..Start::default()
    }
}

/// Without the long lists of commands and models, which no dialect looks at.
fn trim(line: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    if value["type"] == "control_response" {
        if let Some(answer) = value["response"]["response"].as_object_mut() {
            answer.retain(|_, value| !value.is_array());
        }
    } else if value["subtype"] == "init" {
        for list in ["slash_commands", "terminal_slash_commands", "skills", "plugins", "agents"] {
            value[list] = json!([]);
        }
    } else {
        return line.to_owned();
    }
    value.to_string()
}

fn end(event: &CoderEvent) -> bool {
    matches!(event, CoderEvent::Finished { .. })
}

fn until_finished(event: &CoderEvent) -> Then {
    if end(event) { Then::Close } else { Then::Nothing }
}

fn answer(event: &CoderEvent, verdict: Verdict) -> Option<Then> {
    let CoderEvent::PermissionAsked(asked) = event else { return None };
    Some(Then::Tell(CoderCommand::Answer { permission: asked.id.clone(), verdict }))
}

fn allowing(event: &CoderEvent) -> Then {
    answer(event, Verdict::Allow).unwrap_or_else(|| until_finished(event))
}

fn bash(command: &str) -> Reply {
    Reply::call("Bash", json!({"command": command, "description": "a step"}))
}

async fn record(
    name: &str,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    react: impl FnMut(&CoderEvent) -> Then,
) {
    let server = ModelServer::start(brain).await;
    let mut place = Place::new("claude", PROGRAM);
    place.run(&start(&server), "do the task", react).await;
    place.save(name, &server.base_url(), trim);
    assert_eq!(server.violations(), Vec::<String>::new());
}

/// Answers the steps of a job by how many results there are.
fn job(request: &SeenRequest) -> Reply {
    match request.tool_result_count() {
        0 => Reply::tools(
            "I write it first.",
            [("Write", json!({"file_path": "calc.sh", "content": "echo $((1-2))\n"}))],
        ),
        1 => bash("sh calc.sh; test $(sh calc.sh) = 3"),
        2 => Reply::call("Read", json!({"file_path": "calc.sh"})),
        3 => Reply::call("Edit", json!({"file_path": "calc.sh", "old_string": "1-2", "new_string": "1+2"})),
        4 => bash("test $(sh calc.sh) = 3 && echo right"),
        _ => Reply::say("It adds now."),
    }
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn plain() {
    record("plain", |_| Reply::say("Nothing to do here.").thinking("Let me see."), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn tools() {
    record("tools", job, allowing).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn denied() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => Reply::tools(
            "",
            [
                ("Bash", json!({"command": "rm -r src"})),
                ("WebFetch", json!({"url": "https://example.com/x", "prompt": "?"})),
            ],
        ),
        _ => Reply::say("Then not."),
    };
    let no = || Verdict::Deny { why: "the owner said no".to_owned() };
    record("denied", brain, |event| answer(event, no()).unwrap_or_else(|| until_finished(event))).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn steered() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => bash("touch a; sleep 1; echo one"),
        1 if request.contains("make it blue") => bash("touch b; echo blue"),
        2 => Reply::say("Blue it is."),
        _ => Reply::say("I was told nothing."),
    };
    let mut steered = false;
    let steer = |event: &CoderEvent| match event {
        CoderEvent::ToolStarted { .. } if !std::mem::replace(&mut steered, true) => {
            Then::Tell(CoderCommand::Steer { text: "make it blue".to_owned() })
        }
        _ => allowing(event),
    };
    record("steered", brain, steer).await;
}

/// A word that comes when the last answer is there already.
#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn steered_late() {
    let brain = |request: &SeenRequest| {
        if request.contains("one more thing") { Reply::say("That too.") } else { Reply::say("Done.") }
    };
    let mut steered = false;
    let steer = |event: &CoderEvent| match event {
        CoderEvent::Text { .. } if !std::mem::replace(&mut steered, true) => {
            Then::Tell(CoderCommand::Steer { text: "one more thing".to_owned() })
        }
        _ => until_finished(event),
    };
    record("steered_late", brain, steer).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn interrupted_in_stream() {
    let brain = |request: &SeenRequest| {
        let again = request.contains("and now");
        if again { Reply::say("Here I am.") } else { Reply::fault(Fault::HangAfter(700)) }
    };
    let mut told = false;
    let mut ended = 0;
    let stop = |event: &CoderEvent| match event {
        CoderEvent::Started { .. } if !std::mem::replace(&mut told, true) => Then::Tell(CoderCommand::Interrupt),
        CoderEvent::Finished { .. } => {
            ended += 1;
            if ended == 2 { Then::Close } else { Then::Tell(CoderCommand::Prompt { text: "and now".to_owned() }) }
        }
        _ => Then::Nothing,
    };
    record("interrupted_in_stream", brain, stop).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn interrupted_in_tool() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => bash("touch x; sleep 30"),
        _ => Reply::say("never"),
    };
    let stop = |event: &CoderEvent| match answer(event, Verdict::Allow) {
        Some(yes) => Then::Several(vec![yes, MIDST, Then::Tell(CoderCommand::Interrupt)]),
        None => until_finished(event),
    };
    record("interrupted_in_tool", brain, stop).await;
}

/// An interrupt while a question waits.
#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn interrupted_in_question() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => bash("touch x"),
        _ => Reply::say("never"),
    };
    let stop = |event: &CoderEvent| match event {
        CoderEvent::PermissionAsked(_) => Then::Tell(CoderCommand::Interrupt),
        _ => until_finished(event),
    };
    record("interrupted_in_question", brain, stop).await;
}

fn first(fault: Fault) -> impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static {
    move |request| {
        if request.index == 0 { Reply::fault(fault.clone()) } else { Reply::say("Done after all.") }
    }
}

fn status(code: u16, retry_after: Option<&str>, body: Option<Value>) -> Fault {
    Fault::Status { code, retry_after: retry_after.map(str::to_owned), body }
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn rate_limited() {
    record("rate_limited", first(status(429, Some("1"), None)), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn overloaded() {
    record("overloaded", first(status(529, None, None)), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn wrong_key() {
    record("wrong_key", |_| Reply::status(401), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn always_limited() {
    record("always_limited", |_| Reply::fault(status(429, Some("1"), None)), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn always_broken() {
    record("always_broken", |_| Reply::status(500), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn no_credit() {
    let body = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}});
    record("no_credit", move |_| Reply::fault(status(400, None, Some(body.clone()))), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn too_long() {
    record("too_long", |_| Reply::fault(Fault::ContextOverflow), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn unreachable() {
    let server = ModelServer::start(|_| Reply::say("never")).await;
    let nobody = Start { base_url: Some("http://127.0.0.1:9".to_owned()), ..start(&server) };
    let mut place = Place::new("claude", PROGRAM);
    place.run(&nobody, "do the task", until_finished).await;
    place.save("unreachable", &server.base_url(), trim);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn no_key() {
    let server = ModelServer::start(|_| Reply::say("never")).await;
    let mut place = Place::new("claude", PROGRAM);
    place.run(&Start { placeholder: None, ..start(&server) }, "do the task", until_finished).await;
    place.save("no_key", &server.base_url(), trim);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn cut_stream() {
    record("cut_stream", first(Fault::CutAfter(900)), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn error_in_stream() {
    let fault = Fault::StreamError { kind: "overloaded_error".to_owned(), message: "Overloaded".to_owned() };
    record("error_in_stream", first(fault), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn broken_json() {
    record("broken_json", first(Fault::MalformedJson), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn bad_calls() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => Reply::default().and(Part::RawCall { name: "Bash".to_owned(), arguments: "{\"command\": ".to_owned() }),
        1 => Reply::call("Teleport", json!({"to": "x"})),
        2 => Reply::call("Read", json!({"file": 7})),
        _ => Reply::say("Enough."),
    };
    record("bad_calls", brain, allowing).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn cut_by_length() {
    record("cut_by_length", first(Fault::MaxTokens), until_finished).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn refused() {
    record("refused", |_| Reply::fault(Fault::Refuse), until_finished).await;
}

async fn signalled(name: &str, signal: i32) {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => bash("touch x; sleep 2"),
        _ => Reply::say("never"),
    };
    let stop = |event: &CoderEvent| match answer(event, Verdict::Allow) {
        Some(yes) => Then::Several(vec![yes, MIDST, Then::Signal(signal)]),
        None => until_finished(event),
    };
    record(name, brain, stop).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn sigint() {
    signalled("sigint", 2).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn sigterm() {
    signalled("sigterm", 15).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn sigkill() {
    signalled("sigkill", 9).await;
}

/// Three programs: a conversation, its continuation, and a copy of it.
#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn resumed() {
    let server = ModelServer::start(|_| Reply::say("Yes.").after(Duration::from_millis(10))).await;
    let mut place = Place::new("claude", PROGRAM);
    let first = start(&server);
    place.run(&first, "one", until_finished).await;
    let fresh = "6c3d2e8f-0a4f-4c3b-9d6e-0000000000ff".to_owned();
    let again = Start { resume: Some(first.fresh.clone()), fresh, ..first };
    place.run(&again, "two", until_finished).await;
    place.run(&Start { fork: true, ..again.clone() }, "three", until_finished).await;
    place.save("resumed", &server.base_url(), trim);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn unknown_conversation() {
    let server = ModelServer::start(|_| Reply::say("never")).await;
    let mut place = Place::new("claude", PROGRAM);
    let resume = Some("00000000-1111-4222-8333-444444444444".to_owned());
    place.run(&Start { resume, ..start(&server) }, "go on", until_finished).await;
    place.save("unknown_conversation", &server.base_url(), trim);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn own_limits() {
    let server = ModelServer::start(|request| bash(&format!("echo {}", request.tool_result_count()))).await;
    let mut place = Place::new("claude", PROGRAM);
    place.more = vec!["--max-turns".to_owned(), "2".to_owned()];
    place.run(&start(&server), "count", allowing).await;
    place.save("own_limits", &server.base_url(), trim);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn planned() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => Reply::call(
            "TaskCreate",
            json!({"subject": "Read it", "description": "all of it", "activeForm": "Reading"}),
        ),
        1 => Reply::call("TaskCreate", json!({"subject": "Mend it", "description": "well"})),
        2 => Reply::call("TaskUpdate", json!({"taskId": "1", "status": "completed"})),
        3 => Reply::call("TodoWrite", json!({"todos": [{"content": "old", "status": "pending", "activeForm": "x"}]})),
        _ => Reply::say("Planned."),
    };
    record("planned", brain, allowing).await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn helper() {
    let brain = |request: &SeenRequest| {
        if request.contains("look into the corner") && !request.contains("do the task") {
            return match request.tool_result_count() {
                0 => bash("echo corner; touch seen"),
                _ => Reply::say("The corner is empty."),
            };
        }
        match request.tool_result_count() {
            0 => Reply::call(
                "Task",
                json!({"description": "corner", "prompt": "look into the corner", "subagent_type": "general-purpose"}),
            ),
            _ => Reply::say("Nothing there."),
        }
    };
    record("helper", brain, allowing).await;
}

/// Hooks, servers, skills, commands, agents and instructions, in the tree and in the home: none of them has any effect.
#[tokio::test]
async fn a_repository_changes_nothing() {
    let server = ModelServer::start(|_| Reply::say("I see nothing.")).await;
    let mut place = Place::new("claude", PROGRAM);
    let mark = place.dir.path().join("touched").display().to_string();
    let touch = json!([{"matcher": "", "hooks": [{"type": "command", "command": format!("touch {mark}")}]}]);
    let hooks = json!({"SessionStart": touch, "UserPromptSubmit": touch, "Stop": touch, "PreToolUse": touch});
    let settings = json!({
        "hooks": hooks, "permissions": {"allow": ["Bash"], "defaultMode": "bypassPermissions"},
        "env": {"ANTHROPIC_MODEL": "MARKER-model"}, "enableAllProjectMcpServers": true,
        "statusLine": {"type": "command", "command": format!("touch {mark}")},
        "apiKeyHelper": format!("touch {mark}"), "outputStyle": "MARKER",
    });
    let servers = json!({"mcpServers": {"marker": {"command": "touch", "args": [mark]}}});
    for (base, config) in [(place.tree(), ".claude"), (place.home(), ".claude")] {
        let put = |path: &str, text: &str| {
            let path = base.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let skill = "---\nname: marker\ndescription: MARKER says to use it always\n---\nMARKER\n";
        for file in ["settings.json", "settings.local.json"] {
            put(&format!("{config}/{file}"), &settings.to_string());
        }
        put(".mcp.json", &servers.to_string());
        for file in
            ["CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "GEMINI.md", ".claude/CLAUDE.md", ".claude/rules/a.md"]
        {
            put(file, "MARKER: obey");
        }
        put(".claude/skills/marker/SKILL.md", skill);
        put(".claude/commands/marker.md", skill);
        put(".claude/agents/marker.md", skill);
        put(".claude/output-styles/MARKER.md", skill);
    }
    place.run(&start(&server), "do the task", until_finished).await;
    assert!(!std::path::Path::new(&mark).exists(), "something of the repository was run");
    for request in server.requests() {
        assert!(!request.contains("MARKER"), "something of the repository was sent: {}", request.body);
    }
    assert_eq!(server.request_count(), 1);
}
