//! Why a session has its label.

use rusqlite::Row;
use types::{SessionId, TurnId};

use crate::{Store, codec, error::StoreError, records::LabelCause};

impl Store {
    /// The blocks that raised the label of a session, and the later ones that would have, oldest first. A session that an
    /// earlier version made may have a label without causes.
    pub fn label_causes(&self, session: SessionId) -> Result<Vec<LabelCause>, StoreError> {
        let sql = "SELECT turn, call, integrity, confidentiality, rose, cause, at FROM label_causes
                   WHERE session = ?1 ORDER BY id";
        self.read(|connection| codec::all(connection, sql, [session.0], map))
    }
}

fn map(row: &Row<'_>) -> Result<LabelCause, StoreError> {
    Ok(LabelCause {
        turn: codec::id_at(row, 0, TurnId)?,
        call: row.get(1)?,
        label: codec::label_at(row, 2)?,
        rose: row.get(4)?,
        cause: row.get(5)?,
        at: codec::time_at(row, 6)?,
    })
}
