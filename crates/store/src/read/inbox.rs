//! Received messages.

use rusqlite::{Connection, Row};
use types::{ChannelId, InboxId, SessionId};

use crate::{Store, codec, error::StoreError, records::InboxRow};

impl Store {
    /// The messages of a session that no turn has taken, oldest first.
    pub fn waiting_inbox(&self, session: SessionId) -> Result<Vec<InboxRow>, StoreError> {
        self.read(|connection| waiting_inbox(connection, session))
    }

    /// The number of the message that came last, of any session; 0 when there is none. Later ones have greater numbers.
    pub fn last_inbox(&self) -> Result<InboxId, StoreError> {
        let last = self.read(|connection| codec::value(connection, "SELECT max(id) FROM inbox", []))?;
        Ok(InboxId(last.flatten().unwrap_or(0)))
    }

    /// The sessions that have such messages.
    pub fn sessions_with_waiting_inbox(&self) -> Result<Vec<SessionId>, StoreError> {
        let sql = "SELECT DISTINCT session FROM inbox WHERE turn IS NULL AND session IS NOT NULL ORDER BY session";
        self.read(|connection| codec::all(connection, sql, [], |row| Ok(SessionId(row.get(0)?))))
    }

    /// Whether a message was received or silenced before.
    pub fn is_received(&self, channel: &ChannelId, remote_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM inbox WHERE channel = ?1 AND remote_id = ?2)";
        let found = self.read(|connection| codec::value(connection, sql, (channel.as_str(), remote_id)))?;
        Ok(found.unwrap_or(false))
    }
}

pub(crate) fn waiting_inbox(connection: &Connection, session: SessionId) -> Result<Vec<InboxRow>, StoreError> {
    let sql = "SELECT id, channel, remote_id, session, text, reply_to, when_busy, origin, at FROM inbox
               WHERE session = ?1 AND turn IS NULL ORDER BY id";
    codec::all(connection, sql, [session.0], map)
}

fn map(row: &Row<'_>) -> Result<InboxRow, StoreError> {
    Ok(InboxRow {
        id: InboxId(row.get(0)?),
        channel: ChannelId::from_stored(row.get(1)?),
        remote_id: row.get(2)?,
        session: SessionId(row.get(3)?),
        text: row.get(4)?,
        reply_to: row.get(5)?,
        when_busy: codec::from_word("choice", row.get(6)?)?,
        origin: codec::from_word("origin", row.get(7)?)?,
        at: codec::time_at(row, 8)?,
    })
}
