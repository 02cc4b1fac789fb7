//! A job as clients see it.

use store::{Job, Store, StoreError};
use types::JobView;

use super::worker::MAX_ROUNDS;

/// A job with what was tried in it.
pub(crate) fn view(store: &Store, job: Job) -> Result<JobView, StoreError> {
    let tried = store.job_rounds(job.id, MAX_ROUNDS)?;
    let memory = job.memory;
    Ok(JobView {
        id: job.id,
        session: job.session,
        turn: job.turn,
        spec: job.spec,
        coder: memory.coder,
        state: job.state,
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
