//! The phases of a job: parts of its task that are done one after the other in the same tree, each committed before the next begins.
//! The number of the present one is stored with the job. Pure.

use store::Job;
use types::DoneWhen;

use super::prompts::one_line;

/// The most phases of one job.
pub(super) const MAX_PHASES: usize = 12;
/// The most characters of a phase's name in a line of ours.
const MAX_NAME: usize = 60;

/// The done condition that counts now.
pub(super) fn done(job: &Job) -> Option<DoneWhen> {
    job.spec.done_in(job.memory.phase)
}

/// Whether the job is over once the present work is landed.
pub(super) fn is_last(job: &Job) -> bool {
    job.spec.phase(job.memory.phase.saturating_add(1)).is_none()
}

/// Which phase it is in, as `phase 2 of 3 (change)`; none where the task is one piece.
pub(super) fn place(job: &Job) -> Option<String> {
    let phase = job.spec.phase(job.memory.phase)?;
    Some(format!(
        "phase {} of {} ({})",
        job.memory.phase.saturating_add(1),
        job.spec.phases.len(),
        one_line(&phase.name, MAX_NAME)
    ))
}

/// The first line of the commit of the present phase.
pub(super) fn commit(job: &Job) -> Option<&str> {
    job.spec.phase(job.memory.phase).map(|phase| phase.commit.as_str())
}

/// Whether the present phase is begun in a new conversation.
pub(super) fn is_fresh(job: &Job) -> bool {
    job.spec.phase(job.memory.phase).is_some_and(|phase| phase.fresh)
}

/// Goes on to the next phase: what was failing, and what was said of the last one, is forgotten.
pub(super) fn go_on(job: &mut Job) {
    let memory = &mut job.memory;
    memory.phase = memory.phase.saturating_add(1);
    (memory.same, memory.signature, memory.last_check) = (0, None, None);
    (memory.troubles, memory.rechecks) = (0, 0);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::jobs::tests::job;

    #[test]
    fn phases_follow_each_other() {
        let mut job = job();
        assert_eq!((is_last(&job), place(&job), commit(&job)), (true, None, None));
        let phase = |name: &str| serde_json::json!({ "name": name, "brief": "b", "commit": format!("Do {name}") });
        job.spec.phases = serde_json::from_value(serde_json::json!([phase("a"), phase("b")])).unwrap();
        job.spec.phases[1].done = Some("make b".to_owned());
        assert_eq!((is_last(&job), place(&job).unwrap().as_str()), (false, "phase 1 of 2 (a)"));
        assert_eq!(done(&job).unwrap().command, "cargo test");
        (job.memory.same, job.memory.signature) = (2, Some("test_a".to_owned()));
        go_on(&mut job);
        assert_eq!((is_last(&job), commit(&job)), (true, Some("Do b")));
        assert_eq!(done(&job).unwrap().command, "make b");
        assert_eq!((job.memory.same, &job.memory.signature), (0, &None));
    }
}
