//! The journal of events.

use rusqlite::{Connection, Row};
use types::{Envelope, Seq, SessionId, Timestamp, TurnId};

use crate::{Store, codec, error::StoreError};

impl Store {
    /// Events with a number over `seq`, oldest first, at most `limit`: of one session, or of all.
    pub fn events_after(
        &self,
        seq: Seq,
        session: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Envelope>, StoreError> {
        let limit = codec::limit(limit);
        self.read(|connection| match session {
            None => {
                let sql = "SELECT seq, at, session, turn, event FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
                codec::all(connection, sql, (seq.0, limit), envelope)
            }
            Some(session) => {
                let sql = "SELECT seq, at, session, turn, event FROM events WHERE session = ?1 AND seq > ?2
                           ORDER BY seq LIMIT ?3";
                codec::all(connection, sql, (session.0, seq.0, limit), envelope)
            }
        })
    }

    /// The number of the last event; 0 when there is none.
    pub fn last_seq(&self) -> Result<Seq, StoreError> {
        let last = self.read(|connection| codec::value(connection, "SELECT max(seq) FROM events", []))?;
        Ok(Seq(last.flatten().unwrap_or(0)))
    }
}

/// The latest time that the journal holds.
pub(crate) fn latest_time(connection: &Connection) -> Result<Timestamp, StoreError> {
    let sql = "SELECT max(
                   coalesce((SELECT at FROM events ORDER BY seq DESC LIMIT 1), 0),
                   coalesce((SELECT at FROM messages ORDER BY id DESC LIMIT 1), 0))";
    Ok(Timestamp(codec::value(connection, sql, [])?.unwrap_or(0)))
}

fn envelope(row: &Row<'_>) -> Result<Envelope, StoreError> {
    Ok(Envelope {
        seq: Some(Seq(row.get(0)?)),
        at: codec::time_at(row, 1)?,
        session: codec::id_at(row, 2, SessionId)?,
        turn: codec::id_at(row, 3, TurnId)?,
        event: codec::decode(
            "event",
            row.get_ref(4)?.as_str().map_err(|error| StoreError::unreadable("event", error))?,
        )?,
    })
}
