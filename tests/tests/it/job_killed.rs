//! `kill -9` of the whole `factotum up` at every stage of a job that a real coding agent does. Each next daemon goes on by itself
//! to one commit; nothing is said, done or paid twice, and nothing is left behind.

use std::time::Duration;

use harness::{
    all_inside,
    coders::{CLAUDE, CODEX, OPENCODE, Vendor},
    job::WAIT,
    origin::{self, Origin},
    repository::TEST_COMMAND,
    shift::{self, BRANCH, Shift, TASK},
};
use testkit::model::{Fault, Reply, SeenRequest};
use types::{JobEnd, JobState};

const ADDRESSES: [&str; 2] = [shift::ADDRESSES[0], origin::ADDRESS];

/// A story first, then a command that takes its time, one that the owner must allow, and what mends the repository.
fn brain(vendor: Vendor) -> impl Fn(&SeenRequest) -> Reply {
    move |request| match request.tool_result_count() {
        0 => {
            let reply = vendor.says_and_runs(
                &"Once upon a time there was a number. ".repeat(60),
                "echo begun >> steps; sleep 3; echo ended >> steps",
            );
            // The whole takes four seconds and more; what is asked again is told at once.
            let every = Duration::from_millis(100);
            if request.index == 0 { reply.with_fault(Fault::SlowDrip { bytes: 250, every }) } else { reply }
        }
        1 => vendor.runs("rm -rf old; echo allowed >> steps"),
        2 => vendor.runs("sed -i 's,tax_percent / 10$,tax_percent / 100,' billing.py"),
        _ => Reply::say("Mended."),
    }
}

fn killed_at_every_stage(test: &'static str, vendor: Vendor) {
    all_inside(test, &ADDRESSES, || {
        let origin = Origin::new();
        let mut shift = Shift::with(vendor, &vendor.program(), &origin.config(), brain(vendor));
        origin.adopt(&shift.scene.repository, &shift.scene.home.path());
        shift.up();
        let job = shift.start(&["--then", "push", "--done", &format!("sleep 2; {TEST_COMMAND}")]);
        during_text(&mut shift);
        during_a_tool(&mut shift, job);
        while_it_asks(&mut shift, job);
        during_the_check(&mut shift, job);
        during_the_push(&mut shift, job, &origin);
        let (view, end) = shift.ended(job);
        assert_eq!((end, view.rounds), (JobEnd::Done, 1), "{view:#?}");
        shift.landed(&view);
        assert_eq!(Some(origin.branch(&shift.scene.repository, BRANCH)), view.commit);
        let steps = shift.scene.repository.git(&["show", &format!("{BRANCH}:steps")]);
        assert_eq!(steps, "begun\nended\nallowed\n", "what was done");
        let last = shift.model.requests().pop().unwrap();
        let prompts = last.user_texts().iter().map(|text| text.matches(TASK).count()).sum::<usize>();
        assert_eq!(prompts, 1, "the prompt was given once: {:#?}", last.user_texts());
        assert!(shift.model.served().iter().all(|served| served.request > 0), "the story was broken off");
        shift.paid_exactly(&view);
        shift.close();
    });
}

fn again(shift: &mut Shift) {
    shift.kill();
    shift.up();
}

fn during_text(shift: &mut Shift) {
    shift.wait_for_request("the story", |_| true);
    again(shift);
}

/// The tool ends while no daemon runs.
fn during_a_tool(shift: &mut Shift, job: i64) {
    shift.wait_for_file(job, "steps", "begun");
    shift.kill();
    shift.wait_for_file(job, "steps", "ended");
    shift.up();
}

fn while_it_asks(shift: &mut Shift, job: i64) {
    let before = shift.scene.chat.wait_for_buttons(2 * WAIT);
    shift.wait(job, "the question", |view| view.state == JobState::Asking);
    again(shift);
    let asked = shift.scene.chat.wait_for_buttons(WAIT);
    assert_eq!(asked.0, before.0, "the same message asks");
    shift.scene.chat.press(&asked, "Approve");
}

fn during_the_check(shift: &mut Shift, job: i64) {
    shift.wait(job, "the check", |view| view.state == JobState::Checking);
    again(shift);
}

fn during_the_push(shift: &mut Shift, job: i64, origin: &Origin) {
    shift.wait(job, "the landing", |view| view.state == JobState::Landing);
    let asked = shift.scene.chat.wait_for_buttons(WAIT);
    again(shift);
    origin.hold_the_next();
    shift.scene.chat.press(&asked, "Approve");
    origin.wait_for_pushes(1);
    shift.kill();
    shift.up();
    // Whether the first push arrived is not known, so another needs another yes.
    let asked = shift.scene.chat.wait_for_buttons(WAIT);
    shift.scene.chat.press(&asked, "Approve");
}

#[test]
fn claude_is_found_again() {
    killed_at_every_stage("job_killed::claude_is_found_again", CLAUDE);
}

#[test]
fn codex_is_found_again() {
    killed_at_every_stage("job_killed::codex_is_found_again", CODEX);
}

#[test]
fn opencode_is_found_again() {
    killed_at_every_stage("job_killed::opencode_is_found_again", OPENCODE);
}
