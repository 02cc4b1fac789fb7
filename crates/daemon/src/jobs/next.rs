//! What follows the end of a coding agent's turn and the end of a check. Pure.

use std::time::Duration;

use coders::{CoderEnd, Trouble};
use store::Job;
use types::{JobEnd, Then};

use super::{phases, seam::Checked};

/// Failures in a row that may pass, before the job is given up.
pub(super) const MAX_TROUBLES: u32 = 6;
/// How long to wait after the first of them; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(20);
/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// How a job goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The done condition is run.
    Check,
    /// The work is landed.
    Land,
    /// It ends.
    End(JobEnd),
    /// It is told to go on after a turn that broke off.
    GoOn,
    /// The same after a while.
    Later(Duration),
    /// It begins anew in a conversation that knows nothing, with a brief.
    Anew,
    /// It is told what the check found.
    Feedback,
    /// It is told what the owner said in the meantime: before that its work does not count as done.
    Tell,
}

/// After a turn of the coding agent. `has_words` says whether the owner has said something that it was not told.
pub(super) fn after_turn(job: &Job, end: &CoderEnd, has_words: bool) -> Next {
    if let Some(ending) = &job.memory.ending {
        return Next::End(ending.clone());
    }
    match end {
        CoderEnd::Done { .. } if has_words => Next::Tell,
        CoderEnd::Done { .. } if phases::done(job).is_some() => Next::Check,
        CoderEnd::Done { .. } => after_success(job),
        CoderEnd::Interrupted => Next::GoOn,
        CoderEnd::Failed { trouble, message } => match trouble {
            Trouble::Overflow | Trouble::Lost => many(job, message, Next::Anew),
            _ if trouble.may_pass() => many(job, message, Next::Later(pause(job.memory.troubles))),
            _ => Next::End(JobEnd::Failed { error: format!("{}: {message}; {}", kind(*trouble), hint(*trouble)) }),
        },
    }
}

/// After the done condition was run. The memory has taken the check in already.
pub(super) fn after_check(job: &Job, checked: &Checked, has_words: bool) -> Next {
    if checked.passed {
        return if has_words { Next::Tell } else { after_success(job) };
    }
    if job.memory.same >= job.spec.limits.same_failures.max(1) {
        return Next::End(JobEnd::NoProgress { failure: checked.signature.clone() });
    }
    Next::Feedback
}

fn after_success(job: &Job) -> Next {
    match job.spec.then {
        // A review is posted where other work is committed.
        Then::Nothing if job.spec.review.is_some() => Next::Land,
        Then::Nothing => Next::End(JobEnd::Done),
        Then::Commit | Then::Push | Then::DraftPullRequest => Next::Land,
    }
}

/// Goes on unless there were too many failures in a row.
fn many(job: &Job, message: &str, next: Next) -> Next {
    if job.memory.troubles < MAX_TROUBLES {
        return next;
    }
    let error = format!("it broke off {} times in a row: {message}", job.memory.troubles);
    Next::End(JobEnd::Failed { error })
}

/// How long to wait before another attempt, after so many failures in a row.
pub(super) fn pause(troubles: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << troubles.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

fn kind(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Auth => "its key is missing or wrong",
        Trouble::Quota => "its account has no quota left",
        Trouble::RateLimited => "too many requests",
        Trouble::Server => "its vendor is overloaded",
        Trouble::Network => "its vendor cannot be reached",
        Trouble::Overflow => "the conversation is too long",
        Trouble::Refused => "its model refused",
        Trouble::OwnLimit => "it reached a limit of its own",
        Trouble::Lost => "its conversation is lost",
        Trouble::Crashed => "its program broke off",
        Trouble::Stalled => "it stood still",
        Trouble::Garbled => "what it says cannot be taken",
        Trouble::Other => "it failed",
    }
}

fn hint(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Auth => "look at its secret with `factotum coder test`, then resume the job",
        Trouble::Quota => "look at the account, then resume the job, perhaps with another coding agent",
        Trouble::Refused => "put the task differently, or resume the job with another coding agent",
        Trouble::RateLimited
        | Trouble::Server
        | Trouble::Network
        | Trouble::Overflow
        | Trouble::OwnLimit
        | Trouble::Lost
        | Trouble::Crashed
        | Trouble::Stalled
        | Trouble::Garbled
        | Trouble::Other => "`factotum job logs` has what it said",
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::jobs::tests::job;

    fn failed(trouble: Trouble) -> CoderEnd {
        CoderEnd::Failed { trouble, message: "why".to_owned() }
    }

    #[test]
    fn what_follows_a_turn() {
        let mut job = job();
        let done = CoderEnd::Done { text: "all green".to_owned() };
        assert_eq!(after_turn(&job, &done, false), Next::Check, "its word is not believed");
        assert_eq!(after_turn(&job, &done, true), Next::Tell, "the owner is heard first");
        assert_eq!(after_turn(&job, &CoderEnd::Interrupted, false), Next::GoOn);
        assert_eq!(after_turn(&job, &failed(Trouble::Lost), false), Next::Anew);
        assert_eq!(after_turn(&job, &failed(Trouble::Overflow), false), Next::Anew);
        job.memory.troubles = 1;
        assert_eq!(after_turn(&job, &failed(Trouble::Server), false), Next::Later(FIRST_PAUSE));
        job.memory.troubles = MAX_TROUBLES;
        let Next::End(JobEnd::Failed { error }) = after_turn(&job, &failed(Trouble::Server), false) else { panic!() };
        assert!(error.contains("6 times in a row: why"), "{error}");
        let Next::End(JobEnd::Failed { error }) = after_turn(&job, &failed(Trouble::Auth), false) else { panic!() };
        assert!(error.starts_with("its key is missing or wrong: why; look at"), "{error}");
        job.memory.ending = Some(JobEnd::Limit { limit: "tools".to_owned() });
        assert_eq!(after_turn(&job, &done, false), Next::End(job.memory.ending.clone().unwrap()));
        job.memory.ending = None;
        job.spec.done = None;
        assert_eq!(after_turn(&job, &done, false), Next::Land);
        job.spec.then = Then::Nothing;
        assert_eq!(after_turn(&job, &done, false), Next::End(JobEnd::Done));
        job.spec.review = Some(7);
        assert_eq!(after_turn(&job, &done, false), Next::Land, "a review is posted");
    }

    #[test]
    fn the_same_failures_end_a_job() {
        let mut job = job();
        let mut checked = Checked { signature: "test_a".to_owned(), ..Checked::default() };
        job.memory.same = 2;
        assert_eq!(after_check(&job, &checked, false), Next::Feedback);
        job.memory.same = 3;
        assert_eq!(after_check(&job, &checked, false), Next::End(JobEnd::NoProgress { failure: "test_a".to_owned() }));
        checked.passed = true;
        assert_eq!(after_check(&job, &checked, false), Next::Land);
        assert_eq!(after_check(&job, &checked, true), Next::Tell);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert_eq!(pause(0), FIRST_PAUSE);
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(3), FIRST_PAUSE * 4);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
