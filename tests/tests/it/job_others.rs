//! Jobs of a whole daemon with coding agents that the configuration alone describes: forge, of which a double is played, and
//! an agent that speaks the Agent Client Protocol. Both work at a vendor that is played, through the way out.

use std::{path::Path, sync::Arc};

use egress::{Binding, SecretSettings};
use harness::{
    all_inside,
    online::{
        Authority, Online, scene,
        vendor::{self, ADDRESS, ADDRESSES, KEY},
    },
    repository::{RIGHT, Repository, TEST_COMMAND, WRONG},
};
use serde_json::{Value, json};
use testkit::model::{Fault, ModelServer, Reply, SeenRequest};
use types::{Answer, Command, JobEnd, JobId, JobState, JobView};

const HOST: &str = "api.openai.com";
/// What the configuration says of each.
const FORGE: (&str, &str) = ("forge", "program = \"{programs}/forge.py\"\nmodel = \"openai/mini-large\"\n");
const MINI: (&str, &str) = (
    "mini",
    "kind = \"acp\"\ncommand = [\"{programs}/acp.py\", \"--acp\"]\n\
     stall = { thinking_s = 20, tool_s = 5, stopping_s = 1 }\n\
     [coders.mini.prices.mini-large]\ninput = 1000.0\noutput = 1000.0\n",
);

/// A daemon with a repository whose tests fail, and a coding agent.
struct Stage {
    it: Online,
    coder: &'static str,
    model: Arc<ModelServer>,
    repository: Repository,
}

impl Stage {
    fn new(
        (coder, settings): (&'static str, &str),
        brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let runtime = scene::runtime();
        let authority = Authority::new();
        let home = tempfile::Builder::new().prefix("factotum-job-").tempdir().unwrap();
        authority.write(&home.path().join("ca.pem"));
        let model = runtime.block_on(vendor::play(&authority, HOST, brain));
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
        let config = format!(
            "[coders.{coder}]\nvendor = \"openai\"\nsecret = \"vendor\"\nextra_ca = [\"{ca}\"]\n{settings}",
            ca = home.path().join("ca.pem").display(),
            settings = settings.replace("{programs}", &programs.display().to_string()),
        );
        let settings = SecretSettings { bindings: Some(vec![Binding::to(HOST).unwrap()]), ..SecretSettings::default() };
        let repository = Repository::with_failing_tests(&home.path().join("workspace"));
        let network = scene::played(&[(HOST, ADDRESS)]);
        let it = Online::start_in(&runtime, home, &config, network, &[("vendor", KEY, settings)]);
        Self { it, coder, model, repository }
    }

    fn start(&self, more: Value) -> JobId {
        let mut spec = json!({
            "brief": "fix the failing tests", "coder": self.coder, "workspace": "online",
            "place": { "place": "branch", "branch": "fix-tax" },
            "done": { "command": TEST_COMMAND, "pinned": ["test_*.py"] },
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.it.start_job(spec)
    }

    fn is_mended(&self, view: &JobView) {
        assert_eq!(self.repository.git(&["rev-parse", "fix-tax"]).trim(), view.commit.clone().unwrap());
        assert!(self.repository.git(&["show", "fix-tax:billing.py"]).contains(RIGHT));
    }
}

fn on_stage(
    test: &'static str,
    coder: (&'static str, &'static str),
    brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    act: impl FnOnce(&mut Stage),
) {
    all_inside(test, &ADDRESSES, || {
        let mut stage = Stage::new(coder, brain);
        act(&mut stage);
        stage.it.kept_the_key(&stage.model, ("authorization", "Bearer "), KEY);
        assert_eq!(stage.model.violations(), Vec::<String>::new());
        drop(stage);
        scene::nothing_runs_on();
    });
}

fn shell(command: &str) -> Reply {
    Reply::call("shell", json!({ "command": command }))
}

fn replace(old: &str, new: &str) -> Reply {
    // A star is a star.
    shell(&format!("sed -i 's,{}$,{new},' billing.py", old.replace('*', "\\*")))
}

/// Mends it by half and says that it is done; when the check says that it is not, it mends it. Before that it used so many
/// tools.
fn in_two_rounds(request: &SeenRequest, before: usize) -> Reply {
    const HALF: &str = "net * tax_percent / 1000";
    match (request.tool_result_count() - before, request.contains("does not exit with 0 yet")) {
        (0, _) => shell(TEST_COMMAND),
        (1, _) => replace(WRONG, HALF),
        (2, false) => Reply::say("All tests pass."),
        (2, true) => replace(HALF, RIGHT),
        (3, _) => shell(TEST_COMMAND),
        _ => Reply::say("Now they do."),
    }
}

#[test]
fn forge_mends_a_branch_in_two_rounds_of_one_conversation() {
    let test = "job_others::forge_mends_a_branch_in_two_rounds_of_one_conversation";
    on_stage(
        test,
        FORGE,
        |request| in_two_rounds(request, 0),
        |stage| {
            let job = stage.start(json!({}));
            let (view, end) = stage.it.ended_job(job);
            assert_eq!((end, view.rounds), (JobEnd::Done, 2), "{view:#?}");
            stage.is_mended(&view);
            // The second round went on in the first one's conversation, and its number is what forge was told.
            let requests = stage.model.requests();
            let last = requests.last().unwrap();
            assert_eq!((last.user_texts().len(), last.tool_result_count()), (2, 4));
            let conversations = format!("home/jobs/{job}/home/.forge/conversations");
            assert_eq!(std::fs::read_dir(stage.it.home.path().join(conversations)).unwrap().count(), 1);
            let report = view.report.unwrap();
            assert!(report.contains("Now they do.") && !report.contains('\u{1b}'), "{report}");
        },
    );
}

#[test]
fn forge_fails_with_exit_code_0_and_is_not_believed() {
    let test = "job_others::forge_fails_with_exit_code_0_and_is_not_believed";
    let brain = |_: &SeenRequest| Reply::fault(Fault::Status { code: 401, retry_after: None, body: None });
    on_stage(test, FORGE, brain, |stage| {
        let (view, end) = stage.it.ended_job(stage.start(json!({})));
        let JobEnd::Failed { error } = end else { panic!("{view:#?}") };
        assert!(error.contains("its key is missing or wrong") && error.contains("401"), "{error}");
        assert_eq!((view.rounds, stage.model.requests().len()), (1, 1), "nobody tries a wrong key again");
    });
}

#[test]
fn an_agent_of_the_protocol_mends_a_branch_across_rounds_and_a_restart() {
    let test = "job_others::an_agent_of_the_protocol_mends_a_branch_across_rounds_and_a_restart";
    let brain = |request: &SeenRequest| match request.tool_result_count() {
        0 => shell("rm -rf __pycache__ old"),
        _ => in_two_rounds(request, 1),
    };
    on_stage(test, MINI, brain, |stage| {
        let job = stage.start(json!({}));
        // What plainly destroys is asked about; the question outlives the daemon.
        stage.it.wait_for_job(job, |view| view.state == JobState::Asking);
        let asked = stage.it.questions();
        stage.it.restart();
        assert_eq!(stage.it.questions().iter().map(|one| one.id).collect::<Vec<_>>(), [asked[0].id]);
        stage.it.command(&Command::answer(asked[0].id, Answer::ONCE)).unwrap();
        let (view, end) = stage.it.ended_job(job);
        assert_eq!((end, view.rounds), (JobEnd::Done, 2), "{view:#?}");
        stage.is_mended(&view);
        // The conversation was loaded for the second round, and nothing that was told again counted again.
        assert_eq!(view.iterations, 5, "{view:#?}");
        let requests = stage.model.requests();
        assert_eq!(requests.last().unwrap().user_texts().len(), 2);
        let tokens = view.usage.input + view.usage.output;
        assert!(tokens > 0 && view.cost.0 == tokens * 1_000, "priced by the configuration: {view:#?}");
    });
}

#[test]
fn an_agent_of_the_protocol_is_cancelled_at_a_limit() {
    let test = "job_others::an_agent_of_the_protocol_is_cancelled_at_a_limit";
    let brain = |_: &SeenRequest| shell("true");
    on_stage(test, MINI, brain, |stage| {
        let job = stage.start(json!({ "limits": { "iterations": 3 } }));
        let (view, end) = stage.it.ended_job(job);
        assert!(matches!(end, JobEnd::Limit { .. }), "{view:#?}");
        assert!((3..=4).contains(&view.iterations), "{view:#?}");
    });
}

/// A program that dies or goes mute, by this command of its own, is started again with its conversation, and mends the branch.
fn is_started_again(test: &'static str, dies: &'static str, why: &'static str) {
    let brain = move |request: &SeenRequest| match (request.user_texts().len(), request.tool_result_count()) {
        (1, 0) => shell("echo begun > log"),
        (1, _) => shell(dies),
        (_, 1) => replace(WRONG, RIGHT),
        _ => Reply::say("Mended."),
    };
    on_stage(test, MINI, brain, |stage| {
        let job = stage.start(json!({}));
        let (view, end) = stage.it.ended_job(job);
        assert_eq!((end, view.rounds), (JobEnd::Done, 2), "{view:#?}");
        stage.is_mended(&view);
        let first = format!("{:?}", view.tried[0].end);
        assert!(first.contains(why), "{first}");
        assert_eq!(stage.model.requests().last().unwrap().user_texts().len(), 2, "in the same conversation");
    });
}

#[test]
fn an_agent_of_the_protocol_that_is_killed_is_started_again() {
    let test = "job_others::an_agent_of_the_protocol_that_is_killed_is_started_again";
    is_started_again(test, "kill -9 $PPID", "its program was killed");
}

#[test]
fn an_agent_of_the_protocol_that_ends_in_half_a_line_is_started_again() {
    let test = "job_others::an_agent_of_the_protocol_that_ends_in_half_a_line_is_started_again";
    is_started_again(test, "kill -USR2 $PPID; sleep 5", "its program ended with exit code 3");
}

#[test]
fn an_agent_of_the_protocol_that_goes_mute_is_started_again() {
    let test = "job_others::an_agent_of_the_protocol_that_goes_mute_is_started_again";
    is_started_again(test, "kill -USR1 $PPID; sleep 1", "no progress for");
}
