//! The messages of a conversation.

use rusqlite::Row;
use types::{MessageId, SessionId, TurnId};

use crate::{Store, codec, error::StoreError, records::StoredMessage};

const COLUMNS: &str = "id, session, turn, role, author, kind, blocks, integrity, confidentiality, at";

impl Store {
    /// What the model is to know of a session: the last summary, if there is one, then the messages it does not stand
    /// for, oldest first.
    pub fn context(&self, session: SessionId) -> Result<Vec<StoredMessage>, StoreError> {
        let sql = format!(
            "WITH summary AS (
                 SELECT id, keep_from FROM messages WHERE session = ?1 AND kind = 'summary' ORDER BY id DESC LIMIT 1
             )
             SELECT {COLUMNS} FROM messages
             WHERE session = ?1
               AND id >= coalesce((SELECT min(id, coalesce(keep_from, id)) FROM summary), 0)
               AND (kind <> 'summary' OR id = (SELECT id FROM summary))
             ORDER BY kind <> 'summary', id"
        );
        self.read(|connection| codec::all(connection, &sql, [session.0], map))
    }

    /// The latest messages of a session before `before`, at most `limit`, oldest first.
    pub fn messages(
        &self,
        session: SessionId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE session = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
        let before = before.map_or(i64::MAX, |id| id.0);
        let mut page =
            self.read(|connection| codec::all(connection, &sql, (session.0, before, codec::limit(limit)), map))?;
        page.reverse();
        Ok(page)
    }
}

fn map(row: &Row<'_>) -> Result<StoredMessage, StoreError> {
    Ok(StoredMessage {
        id: MessageId(row.get(0)?),
        session: SessionId(row.get(1)?),
        turn: codec::id_at(row, 2, TurnId)?,
        role: codec::from_word("role", row.get(3)?)?,
        author: codec::from_word("author", row.get(4)?)?,
        kind: codec::from_word("kind", row.get(5)?)?,
        blocks: codec::decode("message", &row.get::<_, String>(6)?)?,
        label: codec::label_at(row, 7)?,
        at: codec::time_at(row, 9)?,
    })
}
