//! Sessions and what their owner required.

use types::{Label, SessionId, WorkspaceName};

use super::{Tx, beginning, found};
use crate::{codec, error::StoreError, records::NewSession};

/// The most characters of a title; the rest is cut off.
const MAX_TITLE: usize = 300;
/// The most bytes of a session's key.
const MAX_KEY: usize = 300;
/// The most bytes of a constraint.
const MAX_CONSTRAINT: usize = 4 << 10;

impl Tx<'_> {
    /// Makes a session. A key that another session has is a conflict.
    pub fn create_session(&mut self, new: NewSession) -> Result<SessionId, StoreError> {
        if let Some(key) = &new.key {
            codec::bounded("session's key", key, MAX_KEY)?;
        }
        let (integrity, confidentiality) = codec::label_columns(Label::CLEAN);
        let sql = "INSERT INTO sessions (key, title, workspace, integrity, confidentiality, created_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (key) DO NOTHING";
        let title = beginning(&new.title, MAX_TITLE);
        let row = (&new.key, title, new.workspace.as_str(), integrity, confidentiality, self.now.0);
        if self.run(sql, row)? == 0 {
            let key = new.key.unwrap_or_default();
            return Err(StoreError::Conflict(format!("there is a session `{key}` already")));
        }
        Ok(SessionId(self.last_row()))
    }

    /// Moves a session to another workspace.
    pub fn set_session_workspace(&mut self, session: SessionId, workspace: WorkspaceName) -> Result<(), StoreError> {
        let rows = self.run("UPDATE sessions SET workspace = ?2 WHERE id = ?1", (session.0, workspace.as_str()))?;
        found(rows, "session", session)
    }

    /// Gives a session another title.
    pub fn set_title(&mut self, session: SessionId, title: impl Into<String>) -> Result<(), StoreError> {
        let title = beginning(&title.into(), MAX_TITLE);
        found(self.run("UPDATE sessions SET title = ?2 WHERE id = ?1", (session.0, title))?, "session", session)
    }

    /// Keeps what the owner forbade or required in this session. False when the same words are kept already.
    pub fn add_constraint(&mut self, session: SessionId, text: impl Into<String>) -> Result<bool, StoreError> {
        let text = text.into();
        codec::bounded("constraint", &text, MAX_CONSTRAINT)?;
        let sql = "INSERT INTO constraints (session, text, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        Ok(self.run(sql, (session.0, text, self.now.0))? > 0)
    }

    /// Notes that something was said in the session.
    pub(super) fn touch(&mut self, session: SessionId) -> Result<(), StoreError> {
        let rows = self.run("UPDATE sessions SET updated_at = ?2 WHERE id = ?1", (session.0, self.now.0))?;
        found(rows, "session", session)
    }
}
