//! `kill -9` at every commit of a coding agent's job, right before and right after: from the order over a question, a check that
//! does not hold and another round, to the commit in the owner's repository and the report. Whenever it falls, each prompt is given
//! once, each command runs once, what was paid is booked once, and the job ends with one commit.
//!
//! The points are counted in a run without a crash, then enumerated; a usual run takes a sample of them.

use std::time::{Duration, Instant};

use harness::{
    all_inside,
    coders::{CLAUDE, stand_in},
    job::WAIT,
    repository::Repository,
    shift::{ADDRESSES, BRANCH, Shift, TASK},
};
use testkit::model::{Reply, SeenRequest};
use types::{JobEnd, JobState};

/// How long after the end of a job a crash may still come.
const QUIET: Duration = Duration::from_millis(400);
/// The same order twice starts one job.
const ONCE: [&str; 2] = ["--id", "tonight"];

/// It is asked about its first command, says too early that it is done, and mends what is wrong when it is told so.
fn brain(request: &SeenRequest) -> Reply {
    match (request.tool_result_count(), request.contains("does not exit with 0 yet")) {
        (0, _) => CLAUDE.runs("rm -rf old; echo asked >> steps"),
        (1, false) => Reply::say("All tests pass."),
        (1, true) => CLAUDE.runs("sed -i 's,tax_percent / 10$,tax_percent / 100,' billing.py; echo mended >> steps"),
        _ => Reply::say("Now they do."),
    }
}

fn scene() -> Shift {
    Shift::with(CLAUDE, &stand_in(), "", brain)
}

/// How many commits the whole job takes, from the start of the daemon to the record of its report.
fn count_commits() -> usize {
    let mut shift = scene();
    let counter = shift.scene.home.beside("commits");
    assert!(shift.up_with(&[("FACTOTUM_CRASH_COUNT", counter.to_str().unwrap())]));
    assert!(!drive(&mut shift, "without a crash"));
    std::fs::read_to_string(counter).unwrap().trim().parse().unwrap()
}

/// Orders the job, unless it stands, and answers what is asked, until the daemon has died (true) or the job has ended and nothing
/// more comes (false).
fn drive(shift: &mut Shift, point: &str) -> bool {
    let begun = Instant::now();
    let mut ordered = false;
    loop {
        if shift.daemon().has_ended() {
            return true;
        }
        assert!(begun.elapsed() < 2 * WAIT, "{point}: neither a crash nor an end: {:#?}", shift.jobs());
        ordered = ordered || shift.order(&ONCE).code == Some(0);
        shift.approve();
        let is_over = |job: &types::JobView| matches!(job.state, JobState::Ended { .. });
        if shift.try_jobs().is_some_and(|jobs| jobs.first().is_some_and(is_over)) {
            return shift.daemon().wait_end(QUIET);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs the job with a crash at `point`; true when the crash came.
fn crash_at(point: &str) -> bool {
    let mut shift = scene();
    let mut crashed = true;
    if shift.up_with(&[("FACTOTUM_CRASH_AT", point)]) {
        crashed = drive(&mut shift, point);
        shift.kill();
    }
    shift.up();
    assert!(!drive(&mut shift, point), "{point}: the second daemon died");
    let jobs = shift.jobs();
    assert_eq!(jobs.len(), 1, "{point}");
    let (view, end) = shift.ended(jobs[0].id.0);
    assert_eq!((end, view.rounds, view.iterations), (JobEnd::Done, 2, 2), "{point}: {view:?}");
    shift.landed(&view);
    let steps = shift.scene.repository.git(&["show", &format!("{BRANCH}:steps")]);
    let log = shift.verb(&["job", "logs", &view.id.to_string()]).stdout;
    assert_eq!(steps, "asked\nmended\n", "{point}: each command ran once: {log}");
    told_once(&shift, point);
    shift.paid_exactly(&view);
    let report = view.report.clone().unwrap_or_default();
    assert!(report.contains("is done") && report.contains("2 rounds, 2 tools"), "{point}: {report}");
    let tree = Repository { path: shift.scene.repository.path.clone() };
    assert_eq!(tree.git(&["worktree", "list"]).lines().count(), 1, "{point}");
    shift.close();
    crashed
}

/// The last conversation holds the task once, and once what the check found.
fn told_once(shift: &Shift, point: &str) {
    let last = shift.model.requests().pop().unwrap();
    for prompt in [TASK, "does not exit with 0 yet"] {
        let told = last.user_texts().iter().filter(|text| text.contains(prompt)).count();
        assert_eq!(told, 1, "{point}: {prompt:?}: {:#?}", last.user_texts());
    }
}

/// One share of the points: of every fourth, all in a full run and otherwise every sixth.
fn share(number: usize, test: &'static str) {
    all_inside(test, &ADDRESSES, || {
        crate::shares::sample(number, 6, count_commits(), crash_at);
    });
}

#[test]
fn first_share() {
    share(0, "crash_job::first_share");
}

#[test]
fn second_share() {
    share(1, "crash_job::second_share");
}

#[test]
fn third_share() {
    share(2, "crash_job::third_share");
}

#[test]
fn fourth_share() {
    share(3, "crash_job::fourth_share");
}
