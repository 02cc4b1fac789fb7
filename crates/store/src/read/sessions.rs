//! Sessions.

use rusqlite::{Connection, Row};
use types::{SessionId, WorkspaceName};

use crate::{Store, codec, error::StoreError, records::Session};

const COLUMNS: &str = "id, key, title, workspace, integrity, confidentiality, created_at, updated_at";

impl Store {
    /// A session.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read(|connection| session(connection, id))
    }

    /// The session with this key.
    pub fn session_by_key(&self, key: &str) -> Result<Option<Session>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sessions WHERE key = ?1");
        self.read(|connection| codec::one(connection, &sql, [key], map))
    }

    /// The sessions in which something was said last, latest first, at most `limit`; those of readers are not among them.
    pub fn sessions(&self, limit: usize) -> Result<Vec<Session>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM sessions WHERE parent IS NULL ORDER BY updated_at DESC, id DESC LIMIT ?1");
        self.read(|connection| codec::all(connection, &sql, [codec::limit(limit)], map))
    }

    /// What the owner forbade or required in a session, oldest first.
    pub fn constraints(&self, session: SessionId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT text FROM constraints WHERE session = ?1 ORDER BY id";
        self.read(|connection| codec::all(connection, sql, [session.0], |row| Ok(row.get(0)?)))
    }
}

pub(crate) fn session(connection: &Connection, id: SessionId) -> Result<Option<Session>, StoreError> {
    codec::one(connection, &format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"), [id.0], map)
}

fn map(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId(row.get(0)?),
        key: row.get(1)?,
        title: row.get(2)?,
        workspace: WorkspaceName::new(row.get::<_, String>(3)?)?,
        label: codec::label_at(row, 4)?,
        created_at: codec::time_at(row, 6)?,
        updated_at: codec::time_at(row, 7)?,
    })
}
