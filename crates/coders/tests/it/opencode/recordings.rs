//! Records what the real server says: `cargo nextest run -p factotum-coders --run-ignored only record_opencode`.

use std::time::Duration;

use coders::{CoderCommand, CoderEvent, Start, Verdict};
use serde_json::json;
use testkit::model::{Fault, ModelServer, Reply, SeenRequest};

use crate::{
    http,
    record::{Place, Then},
    recording,
};

const PROGRAM: &str = "opencode-linux-x64/bin/opencode";

fn start(server: &ModelServer) -> Start {
    Start {
        model: Some("mock/mock-large".to_owned()),
        fresh: "5b2c1d7e-0a4f-4c3b-9d6e-000000000001".to_owned(),
        placeholder: Some(("MOCK_API_KEY".to_owned(), "stand-in-for-a-key-0123456789".to_owned())),
        base_url: Some(format!("{}/v1", server.base_url())),
        ..Start::default()
    }
}

/// A model that says one thing after another.
async fn model(script: Vec<Reply>) -> ModelServer {
    ModelServer::start(move |request: &SeenRequest| {
        // One request for each reply: only what came before counts.
        script.get(request.index).cloned().unwrap_or_else(|| Reply::say("Nothing more."))
    })
    .await
}

fn bash(command: &str) -> Reply {
    Reply::call("bash", json!({"command": command, "description": "as the owner wants it"}))
}

fn answered(id: &str, verdict: Verdict) -> Then {
    Then::Tell(CoderCommand::Answer { permission: id.to_owned(), verdict })
}

/// Records a scenario with one prompt, unless there is a recording: remove one to make it anew.
async fn record(name: &str, script: Vec<Reply>, mut react: impl FnMut(&CoderEvent) -> Then) {
    if recording::exists("opencode", name) {
        return;
    }
    let server = model(script).await;
    let mut place = Place::new("opencode", PROGRAM);
    std::fs::write(place.tree().join("sum.txt"), "1 + 1 = 3\n").unwrap();
    http::run(&mut place, PROGRAM, &start(&server), "mend the sum", |event| {
        let then = react(event);
        match event {
            CoderEvent::Finished { .. } if matches!(then, Then::Nothing) => Then::Close,
            _ => then,
        }
    })
    .await;
    // It names its directory relative to the root as well.
    let relative = place.tree().display().to_string().split_off(1);
    place.save(name, &server.base_url(), |line| line.replace(&relative, "workspace"));
}

/// Allows whatever is asked.
fn allow(event: &CoderEvent) -> Then {
    match event {
        CoderEvent::PermissionAsked(asked) => answered(&asked.id, Verdict::Allow),
        _ => Then::Nothing,
    }
}

fn once(mut hit: impl FnMut(&CoderEvent) -> bool, then: CoderCommand) -> impl FnMut(&CoderEvent) -> Then {
    let mut done = false;
    move |event| {
        if !done && hit(event) {
            done = true;
            return Then::Tell(then.clone());
        }
        allow(event)
    }
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_opencode() {
    let quota = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}});
    let status = |code, retry_after: Option<&str>, body| {
        Reply::fault(Fault::Status { code, retry_after: retry_after.map(str::to_owned), body })
    };
    record("plain", vec![Reply::say("Nothing to do here.").thinking("Let me see.")], allow).await;
    record("tools", tools(), allow).await;
    let no = Verdict::Deny { why: "the owner said no".to_owned() };
    record("denied", vec![bash("rm sum.txt"), Reply::say("Then not.")], |event| match event {
        CoderEvent::PermissionAsked(asked) => answered(&asked.id, no.clone()),
        _ => Then::Nothing,
    })
    .await;
    let question = json!({"questions": [{"question": "Which?", "header": "Pick",
        "options": [{"label": "A", "description": "a"}, {"label": "B", "description": "b"}]}]});
    record("question", vec![Reply::call("question", question), Reply::say("B it is.")], |event| match event {
        CoderEvent::PermissionAsked(asked) => answered(&asked.id, Verdict::Deny { why: "B".to_owned() }),
        _ => Then::Nothing,
    })
    .await;
    let steer = CoderCommand::Steer { text: "and the product".to_owned() };
    let running = |event: &CoderEvent| matches!(event, CoderEvent::PermissionAsked(_));
    record("steered", vec![bash("sleep 1; echo x"), Reply::say("Both.")], {
        let mut react = once(|event| matches!(event, CoderEvent::ToolStarted { .. }), steer);
        move |event| react(event)
    })
    .await;
    let drip = Fault::SlowDrip { bytes: 40, every: Duration::from_millis(50) };
    let long = Reply::say("a long answer that comes slowly, ".repeat(20)).with_fault(drip);
    let delta = |event: &CoderEvent| matches!(event, CoderEvent::TextDelta { .. });
    record("interrupted_text", vec![long], once(delta, CoderCommand::Interrupt)).await;
    record("interrupted_permission", vec![bash("sleep 30")], once(running, CoderCommand::Interrupt)).await;
    record("unauthorized", vec![Reply::status(401)], allow).await;
    record("retried", vec![status(429, Some("1"), None), Reply::status(503), Reply::say("At last.")], allow).await;
    record("quota", vec![status(429, None, Some(quota.clone())), status(429, None, Some(quota))], allow).await;
    let overflow = || Reply::fault(Fault::ContextOverflow);
    record("overflow", vec![overflow(), Reply::say("A summary."), Reply::say("Went on.")], allow).await;
    record("overflow_for_good", vec![overflow(), overflow(), overflow()], allow).await;
    record("cut", vec![Reply::fault(Fault::CutAfter(600)), Reply::say("Again.")], allow).await;
    record("ended_early", vec![Reply::fault(Fault::EndAfter(700)), Reply::say("Again.")], allow).await;
    record("broken_json", vec![Reply::fault(Fault::MalformedJson)], allow).await;
    record("length", vec![Reply::say("cut by").with_fault(Fault::MaxTokens)], allow).await;
    record("empty", vec![Reply::fault(Fault::EmptyAnswer)], allow).await;
    let bad = vec![
        Reply {
            parts: vec![testkit::model::Part::RawCall { name: "bash".into(), arguments: "{\"comm".into() }],
            ..Reply::default()
        },
        Reply::call("nonsense", json!({})),
        Reply::say("I see."),
    ];
    record("bad_calls", bad, allow).await;
    let within = json!({"description": "look", "prompt": "look around", "subagent_type": "general"});
    let script = vec![Reply::call("task", within), bash("echo within"), Reply::say("Within."), Reply::say("Done.")];
    record("within", script, allow).await;
}

fn tools() -> Vec<Reply> {
    vec![
        bash("cat sum.txt; false").thinking("First look."),
        Reply::tools(
            "I will write.",
            [
                ("edit", json!({"filePath": "sum.txt", "oldString": "3", "newString": "2"})),
                (
                    "todowrite",
                    json!({"todos": [
                {"content": "mend", "status": "completed", "priority": "high"},
                {"content": "check", "status": "pending", "priority": "low"}]}),
                ),
                ("read", json!({"filePath": "/etc/hostname"})),
                ("webfetch", json!({"url": "http://127.0.0.1:1/x", "format": "text"})),
            ],
        ),
        Reply::say("All done."),
    ]
}
