//! Jobs of a whole daemon with real coding agents: from the order to a commit in the owner's repository, at vendors that are
//! played. What the coding agent says of its work counts for nothing.

use std::{sync::Arc, time::Duration};

use egress::SecretSettings;
use harness::{
    all_inside,
    coders::{CLAUDE, CLAUDE_SUBSCRIPTION, CODEX, CODEX_LOGIN, OPENCODE, Vendor},
    home::OWNER,
    online::{
        Authority, Online, scene,
        vendor::{self, ADDRESS, ADDRESSES, KEY},
    },
    repository::{RIGHT, Repository, TEST_COMMAND, WRONG},
};
use serde_json::{Value, json};
use testkit::{
    model::{ModelServer, Reply, SeenRequest},
    telegram::{Message, TelegramServer},
};
use types::{Answer, Command, JobEnd, JobId, JobState};

/// A daemon with a repository whose tests fail, a coding agent and its vendor.
struct Stage {
    it: Online,
    vendor: Vendor,
    model: Arc<ModelServer>,
    repository: Repository,
    chat: Arc<TelegramServer>,
}

impl Stage {
    fn new(vendor: Vendor, brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = scene::runtime();
        let authority = Authority::new();
        let home = tempfile::Builder::new().prefix("factotum-job-").tempdir().unwrap();
        authority.write(&home.path().join("ca.pem"));
        let model = runtime.block_on(vendor::play(&authority, vendor.host, brain));
        let chat = runtime.block_on(async { Arc::new(TelegramServer::start().await) });
        chat.open_chat(OWNER);
        let config = format!(
            "{coder}[channels.telegram.home]\ntoken = \"telegram\"\nallow = [{OWNER}]\npoll_timeout_s = 2\n\
             api_base = \"{chat}\"\n",
            chat = chat.base_url(),
            coder = vendor::table(&vendor, &home.path().join("ca.pem")),
        );
        let repository = Repository::with_failing_tests(&home.path().join("workspace"));
        let network = scene::played(&[(vendor.host, ADDRESS)]);
        let token = chat.token().to_owned();
        let secrets =
            [("vendor", KEY, vendor::bound(&vendor)), ("telegram", token.as_str(), SecretSettings::default())];
        let it = Online::start_in(&runtime, home, &config, network, &secrets);
        Self { it, vendor, model, repository, chat }
    }

    fn start(&self, more: Value) -> JobId {
        let mut spec = json!({
            "brief": "fix the failing tests", "coder": self.vendor.coder, "workspace": "online",
            "place": { "place": "branch", "branch": "fix-tax" },
            "done": { "command": TEST_COMMAND, "pinned": ["test_*.py"] },
            "report": { "every": "iterations", "count": 2 },
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.it.start_job(spec)
    }

    /// Waits for a message to the owner's phone that holds `part`.
    fn message(&self, part: &str) -> Message {
        for _ in 0..1_200 {
            if let Some(found) =
                self.chat.messages(OWNER).into_iter().rev().find(|one| one.from_bot && one.text().contains(part))
            {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let all: Vec<String> = self.chat.messages(OWNER).iter().map(|one| one.text().to_owned()).collect();
        panic!("nobody said {part:?}: {all:#?}");
    }
}

fn on_stage(
    test: &'static str,
    vendor: Vendor,
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    act: impl FnOnce(&mut Stage),
) {
    all_inside(test, &ADDRESSES, || {
        let mut stage = Stage::new(vendor, brain);
        act(&mut stage);
        stage.it.kept_the_key(&stage.model, stage.vendor.header, KEY);
        drop(stage);
        scene::nothing_runs_on();
    });
}

/// First it makes the tests agree with the mistake and says that it is done; then it mends the mistake.
fn cheats_first(request: &SeenRequest) -> Reply {
    let told = request.contains("does not exit with 0 yet");
    match (request.tool_result_count(), told) {
        (0, _) => CLAUDE.runs(TEST_COMMAND),
        (1, false) => CLAUDE.runs("sed -i s/1200/3000/ test_billing.py"),
        (2, false) => Reply::say("All tests pass."),
        (2, true) => CLAUDE.reads("billing.py"),
        (3, _) => CLAUDE.replaces("billing.py", "", WRONG, RIGHT),
        (4, _) => CLAUDE.runs(TEST_COMMAND),
        _ => Reply::say("Now they do."),
    }
}

#[test]
fn claude_mends_a_branch_and_its_word_is_not_believed() {
    on_stage("job_real::claude_mends_a_branch_and_its_word_is_not_believed", CLAUDE, cheats_first, |stage| {
        let job = stage.start(json!({}));
        let (view, end) = stage.it.ended_job(job);
        assert_eq!(end, JobEnd::Done, "{view:#?}");
        assert_eq!(view.rounds, 2);
        assert!(view.iterations >= 4 && view.cost.0 > 0 && view.usage.output > 0, "{view:#?}");
        // The commit came back as a branch; what the owner has checked out is as it was.
        let commit = view.commit.clone().unwrap();
        assert_eq!(stage.repository.git(&["rev-parse", "fix-tax"]).trim(), commit);
        assert!(stage.repository.git(&["show", "fix-tax:billing.py"]).contains(RIGHT));
        assert!(stage.repository.git(&["show", "fix-tax:test_billing.py"]).contains("1200"), "a pinned file");
        assert_eq!(stage.repository.git(&["status", "--porcelain"]), "");
        assert!(std::fs::read_to_string(stage.repository.path.join("billing.py")).unwrap().contains(WRONG));
        let report = view.report.unwrap();
        // What is pinned could not even be changed.
        assert!(stage.model.requests().iter().any(|request| request.contains("Device or resource busy")));
        for part in ["is done", "2 rounds", "fix-tax"] {
            assert!(report.contains(part), "{part}: {report}");
        }
    });
}

/// What mends the mistake.
const MEND: &str = "sed -i 's,tax_percent / 10$,tax_percent / 100,' billing.py";

/// Mends the mistake by commands.
fn mends(vendor: Vendor) -> impl Fn(&SeenRequest) -> Reply {
    move |request| match request.tool_result_count() {
        0 => vendor.runs(TEST_COMMAND),
        1 => vendor.runs(MEND),
        2 => vendor.runs(TEST_COMMAND),
        _ => Reply::say("Mended."),
    }
}

fn mends_a_branch(stage: &mut Stage) {
    let job = stage.start(json!({}));
    let (view, end) = stage.it.ended_job(job);
    assert_eq!((end, view.rounds), (JobEnd::Done, 1), "{view:#?}");
    assert!(view.iterations == 3 && view.usage.output > 0, "{view:#?}");
    assert_eq!(stage.repository.git(&["rev-parse", "fix-tax"]).trim(), view.commit.unwrap());
    assert!(stage.repository.git(&["show", "fix-tax:billing.py"]).contains(RIGHT));
}

#[test]
fn codex_mends_a_branch() {
    on_stage("job_real::codex_mends_a_branch", CODEX, mends(CODEX), mends_a_branch);
}

#[test]
fn opencode_mends_a_branch() {
    on_stage("job_real::opencode_mends_a_branch", OPENCODE, mends(OPENCODE), mends_a_branch);
}

#[test]
fn claude_works_with_a_subscription() {
    let test = "job_real::claude_works_with_a_subscription";
    on_stage(test, CLAUDE_SUBSCRIPTION, mends(CLAUDE), |stage| {
        mends_a_branch(stage);
        let requests = stage.model.requests();
        assert!(requests.iter().all(|request| !request.headers.contains_key("x-api-key")), "a key beside the token");
    });
}

#[test]
fn codex_works_with_a_chatgpt_login() {
    on_stage("job_real::codex_works_with_a_chatgpt_login", CODEX_LOGIN, mends(CODEX), |stage| {
        mends_a_branch(stage);
        let requests = stage.model.requests();
        assert!(requests.iter().all(|request| request.headers["chatgpt-account-id"] == "acct-0123"));
        assert!(!stage.it.home.path().join("home/jobs/1/home/.codex/auth.json").exists());
    });
}

#[test]
fn a_question_is_answered_after_a_restart() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => CLAUDE.runs("rm -rf __pycache__ old"),
        1 => CLAUDE.reads("billing.py"),
        2 => CLAUDE.replaces("billing.py", "", WRONG, RIGHT),
        _ => Reply::say("Mended."),
    };
    on_stage("job_real::a_question_is_answered_after_a_restart", CLAUDE, brain, |stage| {
        let job = stage.start(json!({}));
        stage.it.wait_for_job(job, |view| view.state == JobState::Asking);
        let asked = stage.it.questions();
        assert_eq!(asked.len(), 1, "{asked:#?}");
        stage.it.restart();
        let again = stage.it.questions();
        assert_eq!(again.iter().map(|one| one.id).collect::<Vec<_>>(), [asked[0].id]);
        stage.it.command(&Command::answer(asked[0].id, Answer::ONCE)).unwrap();
        let (view, end) = stage.it.ended_job(job);
        assert_eq!((end, view.rounds), (JobEnd::Done, 1), "{:?}", view.report);
    });
}

#[test]
fn a_stop_ends_everything_in_it() {
    let brain = |_: &SeenRequest| CLAUDE.runs("sleep 600");
    on_stage("job_real::a_stop_ends_everything_in_it", CLAUDE, brain, |stage| {
        let job = stage.start(json!({}));
        stage.it.wait_for_job(job, |view| view.last.as_deref().is_some_and(|last| last.contains("sleep")));
        let begun = std::time::Instant::now();
        stage.it.command(&Command::StopJob { job }).unwrap();
        let (_, end) = stage.it.ended_job(job);
        assert_eq!(end, JobEnd::Stopped);
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        let left = std::process::Command::new("pgrep").args(["-fx", "sleep 600"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "its tool runs on");
    });
}

#[test]
fn it_is_started_asked_and_told_of_on_a_phone() {
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => CLAUDE.runs("rm -rf __pycache__ old"),
        1 => CLAUDE.runs(MEND),
        _ => Reply::say("Mended."),
    };
    on_stage("job_real::it_is_started_asked_and_told_of_on_a_phone", CLAUDE, brain, |stage| {
        let call = json!({ "action": "start", "task": "fix the failing tests", "coder": "claude", "branch": "fix-tax",
            "done": TEST_COMMAND, "every": 1 });
        stage.chat.push_text(OWNER, &format!("call job {call}"));
        let question = stage.message("rm -rf");
        let yes = question.buttons().iter().find(|button| button.text.contains("Approve")).unwrap().clone();
        stage.chat.push_callback(OWNER, question.id, &yes.data);
        let report = stage.message("is done");
        assert!(report.text().contains("fix-tax") && report.text().contains("$"), "{}", report.text());
        assert!(stage.repository.git(&["show", "fix-tax:billing.py"]).contains(RIGHT));
        // It was heard of on the way, and the owner's own conversation goes on.
        stage.message("1 tool");
        stage.it.wait_for_job(JobId(1), |view| matches!(view.state, JobState::Ended { .. }));
    });
}
