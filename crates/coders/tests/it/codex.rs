//! Codex's dialect, by what the real app-server said.

use std::time::Duration;

use coders::{CoderCommand, CoderEvent, Start, Totals, Verdict};
use serde_json::json;
use testkit::model::{Fault, ModelServer, Reply, SeenRequest};

use crate::{
    record::{Place, Then},
    recording::replay,
};

const PROGRAM: &str = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
const KILL: i32 = 9;
const TERM: i32 = 15;

fn start(server: &ModelServer) -> Start {
    Start {
        model: Some("gpt-5.5".to_owned()),
        placeholder: Some(("OPENAI_API_KEY".to_owned(), "stand-in-for-a-key-0123456789".to_owned())),
        base_url: Some(format!("{}/v1", server.base_url())),
        ..Start::default()
    }
}

fn place() -> Place {
    Place::new("codex", PROGRAM)
}

fn answer(permission: &str, verdict: Verdict) -> Then {
    Then::Tell(CoderCommand::Answer { permission: permission.to_owned(), verdict })
}

fn steer(text: &str) -> Then {
    Then::Tell(CoderCommand::Steer { text: text.to_owned() })
}

/// Allows everything, and ends the program with its turn: it does not end by itself.
fn to_the_end(event: &CoderEvent) -> Then {
    match event {
        CoderEvent::PermissionAsked(asked) => answer(&asked.id, Verdict::Allow),
        CoderEvent::Finished { .. } => Then::Several(vec![Then::Close, Then::Signal(KILL)]),
        _ => Then::Nothing,
    }
}

fn exec(script: &str) -> Reply {
    Reply::call("exec_command", json!({"cmd": script, "yield_time_ms": 20_000}))
}

fn patch(text: &str) -> Reply {
    Reply::call("apply_patch", json!(format!("*** Begin Patch\n{text}\n*** End Patch\n")))
}

/// Records one scenario whose turn goes to its end.
async fn record(name: &str, brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) {
    record_with(name, brain, to_the_end).await;
}

async fn record_with(
    name: &str,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    react: impl FnMut(&CoderEvent) -> Then,
) {
    let server = ModelServer::start(brain).await;
    let mut place = place();
    place.run(&start(&server), "fix it", react).await;
    assert_eq!(server.violations(), Vec::<String>::new());
    place.save(name, &server.base_url(), str::to_owned);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_work() {
    record("plain", |_| Reply::say("Nothing to do here.").thinking("Let me see.")).await;
    record("work", |request| match request.step() {
        0 => exec("echo 'one' > list; cat list").thinking("First a file."),
        1 => patch("*** Update File: list\n-one\n+two\n*** Add File: more\n+new"),
        2 => exec("grep -q one list"),
        3 => Reply::tools(
            "Both at once.",
            [("exec_command", json!({"cmd": "cat list"})), ("exec_command", json!({"cmd": "cat more"}))],
        ),
        _ => Reply::say("The list says two."),
    })
    .await;
    record("bad_tools", |request| match request.step() {
        0 => Reply::default()
            .and(testkit::model::Part::RawCall { name: "exec_command".to_owned(), arguments: "{\"cmd\": ".to_owned() }),
        1 => Reply::call("no_such_tool", json!({})),
        2 => patch("*** Update File: not-there\n-one\n+two"),
        _ => Reply::say("None of it worked."),
    })
    .await;
    // A terminal would take input that nobody was asked about.
    record("no_terminal", |request| match request.step() {
        0 => Reply::call("exec_command", json!({"cmd": "bash", "tty": true})),
        _ => Reply::say("There is no terminal."),
    })
    .await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_permissions() {
    let deny = Verdict::Deny { why: "the owner said no".to_owned() };
    let denied = deny.clone();
    let brain = |request: &SeenRequest| match request.step() {
        _ if request.contains("the owner said no") => Reply::say("I was told not to."),
        0 => exec("touch a"),
        1 => Reply::say("I was not permitted."),
        _ => Reply::say("Still not."),
    };
    record_with("denied_command", brain, move |event| match event {
        CoderEvent::PermissionAsked(asked) => answer(&asked.id, denied.clone()),
        event => to_the_end(event),
    })
    .await;
    let brain = |request: &SeenRequest| match request.step() {
        _ if request.contains("the owner said no") => Reply::say("I was told not to."),
        0 => patch("*** Add File: a\n+b"),
        _ => Reply::say("I was not permitted."),
    };
    record_with("denied_patch", brain, move |event| match event {
        CoderEvent::PermissionAsked(asked) => answer(&asked.id, deny.clone()),
        event => to_the_end(event),
    })
    .await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_steering() {
    let brain = |request: &SeenRequest| match request.step() {
        _ if request.contains("in French") => Reply::say("Voilà."),
        0 => exec("sleep 2; echo done"),
        _ => Reply::say("Done, in English."),
    };
    let mut steered = false;
    record_with("steered", brain, move |event| match event {
        CoderEvent::PermissionAsked(asked) => answer(&asked.id, Verdict::Allow),
        // The first use that is counted comes while the command runs.
        CoderEvent::ToolStarted { .. } if !std::mem::replace(&mut steered, true) => steer("say it in French"),
        event => to_the_end(event),
    })
    .await;
    // What is said when the last word was spoken begins a turn of its own.
    let brain = |request: &SeenRequest| match request.contains("one more") {
        true => Reply::say("Here it is."),
        false => Reply::say("That is all."),
    };
    let mut steered = false;
    record_with("steered_too_late", brain, move |event| match event {
        CoderEvent::Spent(_) if !std::mem::replace(&mut steered, true) => steer("one more"),
        event => to_the_end(event),
    })
    .await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_interrupts() {
    let every = Duration::from_millis(20);
    let brain = move |_: &SeenRequest| {
        let text = "A long story that is never told to its end. ".repeat(200);
        Reply::say(text).with_fault(Fault::SlowDrip { bytes: 200, every })
    };
    let mut stopped = false;
    record_with("interrupted_text", brain, move |event| match event {
        CoderEvent::TextDelta { .. } if !std::mem::replace(&mut stopped, true) => Then::Tell(CoderCommand::Interrupt),
        event => to_the_end(event),
    })
    .await;
    // What ran is ended with the turn.
    let brain = |_: &SeenRequest| exec("echo begun; sleep 600");
    let mut left = 2;
    record_with("interrupted_tool", brain, move |event| match event {
        CoderEvent::PermissionAsked(asked) => {
            let wait = Then::Wait(Duration::from_millis(500));
            Then::Several(vec![answer(&asked.id, Verdict::Allow), wait, Then::Tell(CoderCommand::Interrupt)])
        }
        CoderEvent::Finished { .. } | CoderEvent::ToolFinished { .. } => {
            left -= 1;
            if left == 0 { Then::Signal(KILL) } else { Then::Nothing }
        }
        _ => Then::Nothing,
    })
    .await;
    let brain = |_: &SeenRequest| exec("echo begun; sleep 600");
    record_with("interrupted_permission", brain, |event| match event {
        CoderEvent::PermissionAsked(_) => Then::Tell(CoderCommand::Interrupt),
        event => to_the_end(event),
    })
    .await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_failures() {
    let status = |code: u16, retry_after: Option<&str>, kind: &str| {
        let error = json!({"message": "The vendor says no.", "type": kind, "code": kind});
        let (retry_after, body) = (retry_after.map(str::to_owned), Some(json!({"error": error})));
        move |_: &SeenRequest| {
            Reply::fault(Fault::Status { code, retry_after: retry_after.clone(), body: body.clone() })
        }
    };
    record("status_401", status(401, None, "invalid_api_key")).await;
    record("status_402", status(402, None, "billing")).await;
    record("status_404", status(404, None, "model_not_found")).await;
    record("status_429", status(429, Some("1"), "rate_limit_exceeded")).await;
    record("status_503", status(503, None, "server_error")).await;
    record("quota", status(429, None, "insufficient_quota")).await;
    record("overflow", |_| Reply::fault(Fault::ContextOverflow)).await;
    record("failed", |_| {
        Reply::fault(Fault::Failed { code: "server_error".to_owned(), message: "The vendor is broken.".to_owned() })
    })
    .await;
    record("max_tokens", |_| Reply::fault(Fault::MaxTokens)).await;
    record("refused", |_| Reply::fault(Fault::Refuse)).await;
    record("empty", |_| Reply::fault(Fault::EmptyAnswer)).await;
    record("passing_503", |request| match request.index {
        0 | 1 => Reply::status(503),
        _ => Reply::say("Now it works."),
    })
    .await;
    record("cut_once", |request| match request.index {
        0 => Reply::say("Half a sentence that is cut.").with_fault(Fault::CutAfter(900)),
        _ => Reply::say("A whole sentence."),
    })
    .await;
    record("broken_event", |_| Reply::say("A sentence with a broken event in it.").with_fault(Fault::MalformedJson))
        .await;
    record_with(
        "terminated",
        |_| exec("sleep 600"),
        |event| match event {
            CoderEvent::PermissionAsked(_) => Then::Signal(TERM),
            event => to_the_end(event),
        },
    )
    .await;
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_network_down() {
    // A port that nobody listens on any more.
    let server = ModelServer::start(|_| Reply::say("never")).await;
    let (start, origin) = (start(&server), server.base_url());
    drop(server);
    let mut place = place();
    let mut retries = 0;
    place
        .run(&start, "fix it", |event| match event {
            CoderEvent::Retrying { .. } | CoderEvent::Waiting { .. } => {
                retries += 1;
                if retries == 4 { Then::Tell(CoderCommand::Interrupt) } else { Then::Nothing }
            }
            event => to_the_end(event),
        })
        .await;
    place.save("network_down", &origin, str::to_owned);
}

#[tokio::test]
#[ignore = "records anew what the real program says"]
async fn record_codex_resume() {
    let server = ModelServer::start(|request| Reply::say(format!("Answer {}.", request.user_texts().len()))).await;
    let mut place = place();
    let (mut session, mut spent) = (None, Totals::default());
    let mut listen = |event: &CoderEvent| {
        match event {
            CoderEvent::Started { session: name, .. } => session = Some(name.clone()),
            CoderEvent::Spent(totals) => spent = *totals,
            _ => {}
        }
        to_the_end(event)
    };
    place.run(&start(&server), "second", &mut listen).await;
    let again = Start { resume: session.clone(), spent, ..start(&server) };
    place.run(&again, "third", to_the_end).await;
    let fork = Start { resume: session, fork: true, spent, ..start(&server) };
    place.run(&fork, "fourth", to_the_end).await;
    let lost = Start { resume: Some("01a1fed4-91f9-7d22-828d-be538740f799".to_owned()), ..start(&server) };
    place.run(&lost, "fifth", to_the_end).await;
    assert_eq!(server.violations(), Vec::<String>::new());
    place.save("resumed", &server.base_url(), str::to_owned);
}

macro_rules! recordings {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(replay("codex", stringify!($name)));
            }
        )*
    };
}

recordings! {
    plain work bad_tools no_terminal denied_command denied_patch steered steered_too_late interrupted_text
    interrupted_tool interrupted_permission status_401 status_402 status_404 status_429 status_503 quota overflow failed max_tokens refused
    empty passing_503 cut_once broken_event terminated network_down resumed
}
