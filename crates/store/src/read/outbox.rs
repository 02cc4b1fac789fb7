//! Delivery obligations.

use rusqlite::Row;
use types::{ChannelId, OutboxId, SessionId, Timestamp, TurnId};

use crate::{
    Store, codec,
    error::StoreError,
    records::{OutboxRow, OutboxState},
};

/// The states as they stand in the database; the partial index depends on their order.
pub(crate) const PENDING: i64 = 0;
pub(crate) const SENDING: i64 = 1;
pub(crate) const SENT: i64 = 2;
pub(crate) const FAILED: i64 = 3;

const COLUMNS: &str = "id, turn, session, channel, target, body, attempts, state, next_at, possible_repeat, remote_id,
    error, at";

impl Store {
    /// Unsettled deliveries that are due at `now`, oldest first, at most `limit`. Those that are being sent are among
    /// them: whoever sends knows its own, and the others are from before a restart.
    pub fn due_outbox(&self, now: Timestamp, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM outbox WHERE state < 2 AND next_at <= ?1 ORDER BY id LIMIT ?2");
        self.read(|connection| codec::all(connection, &sql, (now.0, codec::limit(limit)), map))
    }

    /// The oldest unsettled delivery of each chat, at most `limit`, whether it is due or not: a chat whose messenger is
    /// away does not hide the others.
    pub fn first_of_each_chat(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox
             WHERE id IN (SELECT min(id) FROM outbox WHERE state < 2 GROUP BY channel, target) ORDER BY id LIMIT ?1"
        );
        self.read(|connection| codec::all(connection, &sql, [codec::limit(limit)], map))
    }

    /// When the next unsettled delivery is due.
    pub fn next_outbox_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(next_at) FROM outbox WHERE state < 2";
        let next: Option<Option<i64>> = self.read(|connection| codec::value(connection, sql, []))?;
        Ok(next.flatten().map(Timestamp))
    }

    /// A delivery.
    pub fn delivery(&self, id: OutboxId) -> Result<Option<OutboxRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1");
        self.read(|connection| codec::one(connection, &sql, [id.0], map))
    }
}

fn map(row: &Row<'_>) -> Result<OutboxRow, StoreError> {
    Ok(OutboxRow {
        id: OutboxId(row.get(0)?),
        turn: codec::id_at(row, 1, TurnId)?,
        session: codec::id_at(row, 2, SessionId)?,
        channel: ChannelId::from_stored(row.get(3)?),
        target: row.get(4)?,
        body: codec::decode("delivery", &row.get::<_, String>(5)?)?,
        attempts: row.get(6)?,
        state: match row.get(7)? {
            PENDING => OutboxState::Pending,
            SENDING => OutboxState::Sending,
            SENT => OutboxState::Sent,
            FAILED => OutboxState::Failed,
            other => return Err(StoreError::unreadable("state of a delivery", other)),
        },
        next_at: codec::time_at(row, 8)?,
        possible_repeat: row.get(9)?,
        remote_id: row.get(10)?,
        error: row.get(11)?,
        at: codec::time_at(row, 12)?,
    })
}
