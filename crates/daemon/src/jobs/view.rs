//! A job as clients see it.

use store::{Job, Store, StoreError};
use types::{JobState, JobView, Timestamp};

use super::{report, worker::MAX_ROUNDS};

/// A job's place among those that wait, from 1; none where it does not.
pub(super) fn position(store: &Store, job: &Job) -> Result<Option<u32>, StoreError> {
    if job.state != JobState::Queued {
        return Ok(None);
    }
    let open = store.open_jobs()?;
    let place = open.iter().filter(|open| open.state == JobState::Queued).position(|open| open.id == job.id);
    Ok(place.and_then(|place| u32::try_from(place + 1).ok()))
}

/// A job with what was tried in it.
pub(crate) fn view(store: &Store, job: Job, now: Timestamp) -> Result<JobView, StoreError> {
    let pause = report::pause(&job, position(store, &job)?, now);
    let run = report::run(&job);
    let tried = store.job_rounds(job.id, MAX_ROUNDS)?;
    let phase = job.spec.phase(job.memory.phase).map(|_| job.memory.phase.saturating_add(1));
    let memory = job.memory;
    Ok(JobView {
        id: job.id,
        session: job.session,
        turn: job.turn,
        spec: job.spec,
        coder: memory.coder,
        state: job.state,
        since: memory.moved_at,
        pause,
        run,
        phase,
        rounds: memory.rounds,
        iterations: memory.iterations,
        usage: memory.used.usage,
        cost: memory.used.cost,
        last_check: memory.last_check,
        last: memory.last,
        last_error: memory.last_error,
        changes: memory.changes,
        report: memory.report,
        tried,
        commit: memory.commit,
        created_at: job.created_at,
        started_at: job.started_at,
        ended_at: job.ended_at,
    })
}
