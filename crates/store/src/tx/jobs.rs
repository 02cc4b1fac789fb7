//! Jobs. A job's row has one writer: whoever works on it. What others want of it goes another way (its session's inbox).

use types::{Event, JobEnd, JobId, JobRound, JobState, RoundEnd};

use super::{Tx, beginning, found};
use crate::{
    codec,
    error::StoreError,
    job_records::{Job, JobMemory, JobSince, NewJob},
    read,
    records::NewSession,
};

/// The most bytes of who asked.
const MAX_ASKED: usize = 1 << 10;
/// The most bytes of a task and of a prompt.
const MAX_BRIEF: usize = 256 << 10;
/// How much of a task its session is called by, and events show.
const TITLE: usize = 120;
/// The most characters of what a coding agent said in a round.
const MAX_SAID: usize = 2_000;
/// How many names are tried for a job's session.
const NAMES: i64 = 100;

/// What a job's row says of where it is.
const WAITING: i64 = 0;
const UNDER_WAY: i64 = 1;
pub(crate) const OVER: i64 = 2;
const CLEARED: i64 = 3;

impl Tx<'_> {
    /// Queues a job and makes its session. The second time for the same message nothing is made; then the flag is true.
    pub fn queue_job(&mut self, new: NewJob) -> Result<(Job, bool), StoreError> {
        codec::bounded("task", &new.spec.brief, MAX_BRIEF)?;
        codec::bounded("number of the message", &new.asked, MAX_ASKED)?;
        let known = codec::value(self.connection, "SELECT id FROM jobs WHERE asked = ?1", [&new.asked])?;
        if let Some(job) = known.map(JobId).map(|id| self.job(id)).transpose()?.flatten() {
            return Ok((job, true));
        }
        let (id, session) = self.job_session(&new)?;
        let memory = JobMemory {
            coder: new.spec.coder.clone(),
            model: new.spec.model.clone(),
            since: JobSince { at: self.now, ..JobSince::default() },
            moved_at: self.now,
            ..JobMemory::default()
        };
        let row = (
            (id, session.0, codec::encode("task", &new.spec)?, codec::encode("state", &JobState::Queued)?, WAITING),
            (codec::word("origin", &new.origin)?, new.reply_channel.as_str(), &new.reply_to, &new.asked),
            (codec::encode("job", &memory)?, self.now.0),
        );
        let sql = "INSERT INTO jobs
                   (id, session, spec, state, phase, origin, reply_channel, reply_to, asked, memory, created_at, queued_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)";
        let ((id, session_id, spec, state, phase), (origin, channel, to, asked), (memory, at)) = row;
        self.run(sql, (id, session_id, spec, state, phase, origin, channel, to, asked, memory, at))?;
        let event = Event::JobQueued {
            job: JobId(id),
            coder: new.spec.coder,
            workspace: new.spec.workspace,
            brief: beginning(&new.spec.brief, TITLE),
        };
        self.record(Some(session), None, event)?;
        let job = self.job(JobId(id))?.ok_or_else(|| StoreError::not_found("job", id))?;
        Ok((job, false))
    }

    /// The number of the next job and its session, whose key is made of it. The owner may have used the name before.
    fn job_session(&mut self, new: &NewJob) -> Result<(i64, types::SessionId), StoreError> {
        let last: i64 = codec::value(self.connection, "SELECT coalesce(max(id), 0) FROM jobs", [])?.unwrap_or(0);
        for id in last + 1..last + NAMES {
            let key = format!("job-{id}");
            let taken: Option<i64> =
                codec::value(self.connection, "SELECT id FROM sessions WHERE key = ?1", [key.as_str()])?;
            if taken.is_some() {
                continue;
            }
            let title = new.spec.brief.trim().lines().next().unwrap_or_default();
            let title = beginning(title, TITLE);
            let workspace = new.spec.workspace.clone();
            let session = self.create_session(NewSession { key: Some(key), title, workspace })?;
            self.raise_label(session, new.label, "the session that asked for this job")?;
            return Ok((id, session));
        }
        Err(StoreError::Conflict("the names of the next jobs are all taken by sessions".to_owned()))
    }

    /// A job.
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        read::job(self.connection, id)
    }

    /// Stores where a job is: its turn, state, cursor, memory and times. A change of state is an event.
    pub fn save_job(&mut self, job: &Job) -> Result<(), StoreError> {
        let before = self.job(job.id)?.ok_or_else(|| StoreError::not_found("job", job.id))?;
        if (job.memory.records, job.cursor) < (before.memory.records, before.cursor) {
            return Err(StoreError::Conflict(format!("job {} was taken further by somebody else", job.id)));
        }
        let sql = "UPDATE jobs SET turn = ?2, state = ?3, phase = ?4, record = ?5, item = ?6, memory = ?7,
                   reply_channel = ?8, reply_to = ?9, queued_at = ?10, started_at = ?11, ended_at = ?12 WHERE id = ?1";
        let state = codec::encode("state", &job.state)?;
        let memory = codec::encode("job", &job.memory)?;
        let record = i64::try_from(job.cursor.record).unwrap_or(i64::MAX);
        let turn = job.turn.map(|turn| turn.0);
        let times = (job.queued_at.0, job.started_at.map(|at| at.0), job.ended_at.map(|at| at.0));
        let reply = (job.reply_channel.as_str(), &job.reply_to);
        let place = (phase(&job.state), record, job.cursor.item);
        self.run(
            sql,
            (job.id.0, turn, state, place.0, place.1, place.2, memory, reply.0, reply.1, times.0, times.1, times.2),
        )?;
        if before.state != job.state {
            self.tell_state(job)?;
        }
        Ok(())
    }

    fn tell_state(&mut self, job: &Job) -> Result<(), StoreError> {
        let memory = &job.memory;
        let event = match &job.state {
            JobState::Ended { end } => Event::JobFinished {
                job: job.id,
                end: JobEnd::clone(end),
                rounds: memory.rounds,
                iterations: memory.iterations,
                usage: memory.used.usage,
                cost: memory.used.cost,
                commit: memory.commit.clone(),
            },
            JobState::Queued
            | JobState::Preparing
            | JobState::Working
            | JobState::Asking
            | JobState::TakenOver
            | JobState::Checking
            | JobState::Landing => Event::JobMoved { job: job.id, state: job.state.clone() },
        };
        self.record(Some(job.session), job.turn, event).map(|_| ())
    }

    /// Notes that a job gives its coding agent another prompt. The same round again changes nothing.
    pub fn begin_round(&mut self, job: JobId, round: u32, coder: &str, digest: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO job_rounds (job, round, coder, prompt, at) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        self.run(sql, (job.0, round, coder, digest, self.now.0)).map(|_| ())
    }

    /// Notes what came of a round.
    pub fn end_round(&mut self, job: JobId, round: u32, said: &str, end: &RoundEnd) -> Result<(), StoreError> {
        let sql = "UPDATE job_rounds SET said = ?3, end = ?4 WHERE job = ?1 AND round = ?2";
        let end = codec::encode("end of a round", end)?;
        found(self.run(sql, (job.0, round, beginning(said, MAX_SAID), end))?, "round of the job", job)
    }

    /// What was tried in a job, oldest first: the last so many rounds.
    pub fn job_rounds(&self, job: JobId, limit: usize) -> Result<Vec<JobRound>, StoreError> {
        read::job_rounds(self.connection, job, limit)
    }

    /// Notes that the files of a job that is over are gone.
    pub fn clear_job(&mut self, job: JobId) -> Result<(), StoreError> {
        // With the records goes the place in them: those of a job that is resumed after this begin anew.
        let sql = "UPDATE jobs SET phase = ?2, record = 0, item = 0 WHERE id = ?1 AND phase = ?3";
        self.run(sql, (job.0, CLEARED, OVER)).map(|_| ())
    }
}

fn phase(state: &JobState) -> i64 {
    match state {
        JobState::Queued => WAITING,
        JobState::Preparing
        | JobState::Working
        | JobState::Asking
        | JobState::TakenOver
        | JobState::Checking
        | JobState::Landing => UNDER_WAY,
        JobState::Ended { .. } => OVER,
    }
}
