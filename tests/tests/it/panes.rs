//! Panes in a real tmux: what they show of a job's records, and a person who works in one.

use std::{collections::BTreeMap, path::Path, time::Duration};

use harness::{
    census::{count, wait_until_gone},
    coders::CLAUDE,
    inside::all_inside,
    online::{
        Authority, Online, scene,
        vendor::{self, ADDRESS, ADDRESSES, KEY},
    },
    played::gives_way,
    process,
    seat::has_tmux,
};
use policy::{Act, Grant, decide_own};
use sandbox::{
    Attached, Launcher, Program, SandboxConfig, SandboxSpec, Supervised, SupervisedSpec, SupervisorLimits,
    TerminalProgram, TerminalSize, Tmux, Transport, Workspace,
};
use serde_json::json;
use testkit::model::ModelServer;
use types::{Command, CommandReply, JobEnd, JobState, WorkspaceName};

/// What the coding agent's program says: words that would clear the screen and set a title if they could.
const WORDS: &str = r#"{"type":"assistant","message":{"id":"m","role":"assistant","content":[{"type":"text","text":"hello from the coder\u001b[2J\u001b]0;title\u0007"}]},"session_id":"s"}"#;

fn name() -> WorkspaceName {
    WorkspaceName::new("toy").unwrap()
}

fn grant() -> Grant {
    decide_own(Act::OwnerCommand, name())
}

async fn supervised(home: &Path) -> Supervised {
    Launcher::at(process::binary()).use_for_all();
    for directory in ["jobs", "workspaces/toy"] {
        std::fs::create_dir_all(home.join(directory)).unwrap();
    }
    let workspace = Workspace::open(name(), &home.join("workspaces/toy")).unwrap();
    let sandbox = SandboxSpec::new(workspace, &SandboxConfig::default()).unwrap();
    let directory = home.join("jobs/1");
    let spec = SupervisedSpec { sandbox, directory, custody: Vec::new(), limits: SupervisorLimits::default() };
    let Attached { supervised, .. } = Supervised::start(&grant(), spec).await.unwrap();
    supervised
}

/// Waits until the window shows something, and gives all that it shows.
async fn showing(tmux: &Tmux, wanted: &str) -> String {
    let mut last = String::new();
    for _ in 0..500 {
        last = tmux.capture("job-1", false).await.unwrap();
        if last.contains(wanted) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{wanted:?} is not shown, but:\n{last}");
}

fn type_keys(home: &Path, keys: &[&str]) {
    let mut command = std::process::Command::new("tmux");
    command.args(["-S", "tmux.sock", "send-keys", "-t", "=factotum:=job-1"]).args(keys).current_dir(home);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_pane_shows_the_records_and_a_person_takes_over_and_hands_back() {
    if !has_tmux() {
        return;
    }
    all_inside("panes::a_pane_shows_the_records_and_a_person_takes_over_and_hands_back", &[], || {
        let home = tempfile::tempdir().unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(take_over_and_hand_back(home.path()));
    });
}

async fn take_over_and_hand_back(home: &Path) {
    let supervised = supervised(home).await;
    let tmux = Tmux::with_program(home, &process::binary());
    let home_text = home.to_str().unwrap();
    let pane = ["--home", home_text, "pane", "job-1"];
    let argv = ["sh", "-c", "printf '%s\\n' \"$0\"; cat", WORDS].map(str::to_owned).to_vec();
    let program = Program { argv, transport: Transport::Lines, ..Program::default() };
    let note = json!({ "coder": "claude", "prompt": "fix the tests" });
    supervised.run(&grant(), program, note).await.unwrap();
    tmux.open("job-1", &pane).await.unwrap();
    let shown = showing(&tmux, "hello from").await;
    assert!(shown.starts_with("job 1  take over: factotum job takeover 1"), "{shown}");
    assert!(shown.contains("--- told:\n  fix the tests\n"), "{shown}");
    assert!(shown.contains("  hello from the coder\u{241b}[2J\u{241b}]0;title\u{2407}\n"), "{shown}");

    supervised.end_program().await.unwrap();
    showing(&tmux, "--- its program ended").await;
    let size = TerminalSize { rows: 24, columns: 80 };
    let argv = ["bash", "--norc", "--noprofile"].map(str::to_owned).to_vec();
    let program = TerminalProgram { argv, env: BTreeMap::new(), directory: None, size };
    supervised.open_terminal(&grant(), program).await.unwrap();
    showing(&tmux, "--- you take over: bash").await;
    type_keys(home, &["echo in the sandbox: $(hostname), $PWD | tr a-z A-Z", "Enter"]);
    showing(&tmux, "IN THE SANDBOX: SANDBOX, /WORKSPACE").await;
    // The pane's own size is the terminal's, once a program that draws the whole screen was made to do so.
    type_keys(home, &["until stty size | grep '48 160' | sed s/^/size:/ | grep size; do sleep 0.1; done", "Enter"]);
    showing(&tmux, "size:48 160").await;
    // A program in the foreground is interrupted, and the pane is not.
    type_keys(home, &["sleep 600", "Enter"]);
    for _ in 0..1_500 {
        if count("sleep 600") > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    type_keys(home, &["C-c"]);
    type_keys(home, &["echo status $?", "Enter"]);
    showing(&tmux, "status 130").await;

    // A window that was lost is made anew and shows where things stand.
    tmux.close("job-1").await.unwrap();
    tmux.open("job-1", &pane).await.unwrap();
    showing(&tmux, "status 130").await;
    // What the program left is not written over, also where the cursor was elsewhere.
    type_keys(home, &["printf '\\033[?1049h\\033[?1049l\\033[HABOVE\\nBELOW'; exit", "Enter"]);
    let shown = showing(&tmux, "--- you hand back").await;
    assert!(shown.contains("\n--- you hand back\n") && shown.contains("BELOW"), "{shown}");

    let argv = ["sh", "-c", "printf '%s\\n' \"$0\"", WORDS].map(str::to_owned).to_vec();
    let program = Program { argv, transport: Transport::Lines, ..Program::default() };
    supervised.run(&grant(), program, json!({ "coder": "claude" })).await.unwrap();
    let mut shown = String::new();
    while shown.rfind("hello from") <= shown.rfind("--- you hand back") {
        tokio::time::sleep(Duration::from_millis(20)).await;
        shown = tmux.capture("job-1", true).await.unwrap();
    }

    let listed = process::run(home, &["terminals"], "");
    assert_eq!(listed.stdout, "job-1\n", "{listed:?}");
    let captured = process::run(home, &["terminals", "1", "--history"], "");
    assert!(captured.stdout.contains("hello from the coder"), "{captured:?}");
    let missing = process::run(home, &["terminals", "job-9"], "");
    assert!(missing.code == Some(2) && missing.stderr.contains("there is no terminal job-9"), "{missing:?}");

    supervised.end().await;
    tmux.close("job-1").await.unwrap();
    wait_until_gone(&["tmux", " pane ", "sandbox-init", "supervisor"]);
}

#[test]
fn the_real_claude_code_is_taken_over_and_handed_back() {
    if !has_tmux() {
        return;
    }
    all_inside("panes::the_real_claude_code_is_taken_over_and_handed_back", &ADDRESSES, || {
        let runtime = scene::runtime();
        let authority = Authority::new();
        let model = runtime.block_on(vendor::play(&authority, CLAUDE.host, gives_way(|| CLAUDE.reads("toys.txt"))));
        let home = tempfile::Builder::new().prefix("factotum-online-").tempdir().unwrap();
        authority.write(&home.path().join("ca.pem"));
        let config = vendor::table(&CLAUDE, &home.path().join("ca.pem")) + "[sandbox]\nmemory_mb = 4096\n";
        let network = scene::played(&[(CLAUDE.host, ADDRESS)]);
        let it = Online::start_in(&runtime, home, &config, network, &[("vendor", KEY, vendor::bound(&CLAUDE))]);
        take_claude_over(it, &runtime, &model);
    });
}

fn take_claude_over(mut it: Online, runtime: &tokio::runtime::Runtime, model: &ModelServer) {
    std::fs::write(it.workspace().join("toys.txt"), "a red toy\n").unwrap();
    let spec = json!({ "brief": "mend the toys", "coder": "claude", "workspace": "online", "then": "nothing" });
    let job = it.start_job(spec);
    it.wait_for_job(job, |view| view.iterations == 1);
    let taken = it.command(&Command::TakeOverJob { job }).unwrap();
    assert!(matches!(taken, CommandReply::Done { ref text } if text.contains("job 1 is yours")), "{taken:?}");
    assert_eq!(it.wait_for_job(job, |_| true).state, JobState::TakenOver);

    let home = it.home.path().join("home");
    let tmux = Tmux::with_program(&home, &process::binary());
    runtime.block_on(tmux.open("job-1", &["--home", home.to_str().unwrap(), "pane", "job-1"])).unwrap();
    // Its own screen, with the conversation so far.
    runtime.block_on(showing(&tmux, "mend the toys"));
    let programs = count("--resume");
    assert!(programs >= 1);
    it.restart();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(it.wait_for_job(job, |_| true).state, JobState::TakenOver);
    assert_eq!(count("--resume"), programs, "the restart changed nothing at the terminal");
    type_keys(&home, &["which toy is it"]);
    runtime.block_on(showing(&tmux, "which toy is it"));
    type_keys(&home, &["Enter"]);
    runtime.block_on(showing(&tmux, "It is the red toy."));

    it.command(&Command::HandBackJob { job }).unwrap();
    let view = it.wait_for_job(job, |view| matches!(view.state, JobState::Ended { .. }));
    assert_eq!(view.state, JobState::Ended { end: JobEnd::Done }, "{view:#?}");
    let last = model.requests().into_iter().rfind(|request| request.contains("at your place")).unwrap();
    for part in ["mend the toys", "which toy is it", "It is the red toy."] {
        assert!(last.contains(part), "the conversation went on: {part}");
    }
    assert!(model.requests().iter().all(|request| request.headers["x-api-key"] == KEY));
    let records = std::fs::read_to_string(home.join("jobs/1/records.jsonl")).unwrap();
    assert!(!records.contains(KEY));
    // The window goes with the job, and the server with its last window.
    wait_until_gone(&["tmux", " pane ", "supervisor"]);
}
