//! A job of each real coding agent under a daemon of an ordinary user, without control groups: to the commit, paid to the token, and
//! nothing left behind.

use harness::{
    all_inside_as_nobody,
    coders::{CLAUDE, CODEX, OPENCODE, Vendor},
    repository::TEST_COMMAND,
    shift::{ADDRESSES, Shift},
};
use testkit::model::{Reply, SeenRequest};
use types::JobEnd;

fn brain(vendor: Vendor) -> impl Fn(&SeenRequest) -> Reply {
    move |request| match request.tool_result_count() {
        0 => vendor.runs(&format!("id -u; {TEST_COMMAND}")),
        1 => vendor.runs("sed -i 's,tax_percent / 10$,tax_percent / 100,' billing.py"),
        2 => vendor.runs(TEST_COMMAND),
        _ => Reply::say("Mended."),
    }
}

fn does_a_job(test: &'static str, vendor: Vendor) {
    all_inside_as_nobody(test, &ADDRESSES, || {
        let mut shift = Shift::new(vendor, brain(vendor));
        shift.up();
        let daemon = format!("/proc/{}", shift.daemon().pid());
        let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(daemon).unwrap());
        assert_ne!(user, 0, "the daemon is an ordinary user's");
        let (view, end) = shift.ended(shift.start(&[]));
        assert_eq!((end, view.rounds, view.iterations), (JobEnd::Done, 1, 3), "{view:#?}");
        shift.landed(&view);
        shift.paid_exactly(&view);
        shift.close();
    });
}

#[test]
fn claude_does_a_job() {
    does_a_job("ordinary_user::claude_does_a_job", CLAUDE);
}

#[test]
fn codex_does_a_job() {
    does_a_job("ordinary_user::codex_does_a_job", CODEX);
}

#[test]
fn opencode_does_a_job() {
    does_a_job("ordinary_user::opencode_does_a_job", OPENCODE);
}
