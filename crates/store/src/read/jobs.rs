//! Jobs and their rounds.

use rusqlite::{Connection, Row};
use types::{ChannelId, JobId, JobRound, SessionId, Timestamp, TurnId};

use crate::{
    Store, codec,
    error::StoreError,
    job_records::{Job, JobCursor},
    tx::OVER,
};

const COLUMNS: &str = "id, session, turn, spec, state, origin, reply_channel, reply_to, record, item, memory,
    created_at, queued_at, started_at, ended_at";

impl Store {
    /// A job.
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.read(|connection| job(connection, id))
    }

    /// The job that a session is for, if it is for one.
    pub fn job_of_session(&self, session: SessionId) -> Result<Option<Job>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE session = ?1");
        self.read(|connection| codec::one(connection, &sql, [session.0], map))
    }

    /// The jobs that are not over, those that have waited longest first.
    pub fn open_jobs(&self) -> Result<Vec<Job>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE phase < ?1 ORDER BY queued_at, id");
        self.read(|connection| codec::all(connection, &sql, [OVER], map))
    }

    /// All jobs, latest first, at most `limit`.
    pub fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM jobs ORDER BY id DESC LIMIT ?1");
        self.read(|connection| codec::all(connection, &sql, [codec::limit(limit)], map))
    }

    /// The jobs that ended before this and whose files were not removed, at most `limit`.
    pub fn jobs_to_clear(&self, before: Timestamp, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let sql = "SELECT id FROM jobs WHERE phase = ?1 AND ended_at < ?2 ORDER BY id LIMIT ?3";
        let id = |row: &Row<'_>| Ok(JobId(row.get(0)?));
        self.read(|connection| codec::all(connection, sql, (OVER, before.0, codec::limit(limit)), id))
    }

    /// What was tried in a job, oldest first: the last so many rounds.
    pub fn job_rounds(&self, job: JobId, limit: usize) -> Result<Vec<JobRound>, StoreError> {
        self.read(|connection| job_rounds(connection, job, limit))
    }
}

pub(crate) fn job(connection: &Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    codec::one(connection, &format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"), [id.0], map)
}

pub(crate) fn job_rounds(connection: &Connection, job: JobId, limit: usize) -> Result<Vec<JobRound>, StoreError> {
    let sql = "SELECT round, coder, prompt, said, end, at FROM job_rounds WHERE job = ?1 ORDER BY round DESC LIMIT ?2";
    let mut rounds = codec::all(connection, sql, (job.0, codec::limit(limit)), round)?;
    rounds.reverse();
    Ok(rounds)
}

fn round(row: &Row<'_>) -> Result<JobRound, StoreError> {
    let end: Option<String> = row.get(4)?;
    Ok(JobRound {
        round: row.get(0)?,
        coder: row.get(1)?,
        prompt: row.get(2)?,
        said: row.get(3)?,
        end: end.map(|text| codec::decode("end of a round", &text)).transpose()?,
        at: codec::time_at(row, 5)?,
    })
}

fn map(row: &Row<'_>) -> Result<Job, StoreError> {
    Ok(Job {
        id: JobId(row.get(0)?),
        session: SessionId(row.get(1)?),
        turn: codec::id_at(row, 2, TurnId)?,
        spec: codec::decode("task", &row.get::<_, String>(3)?)?,
        state: codec::decode("state", &row.get::<_, String>(4)?)?,
        origin: codec::from_word("origin", row.get(5)?)?,
        reply_channel: ChannelId::from_stored(row.get(6)?),
        reply_to: row.get(7)?,
        cursor: JobCursor { record: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0), item: row.get(9)? },
        memory: codec::decode("job", &row.get::<_, String>(10)?)?,
        created_at: codec::time_at(row, 11)?,
        queued_at: codec::time_at(row, 12)?,
        started_at: codec::id_at(row, 13, Timestamp)?,
        ended_at: codec::id_at(row, 14, Timestamp)?,
    })
}
