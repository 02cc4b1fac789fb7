//! Readers: their sessions, and what they told.

use types::{Label, SessionId};

use super::{Tx, beginning, labels::BlockOrigin};
use crate::{MAX_TEXT, codec, error::StoreError, records::NewReading};

/// The most characters of a title.
const MAX_TITLE: usize = 300;

impl Tx<'_> {
    /// Makes the session of a reader, which begins with `label`: at least that of its parent.
    pub fn create_reader(&mut self, parent: SessionId, label: Label, title: &str) -> Result<SessionId, StoreError> {
        let known = self.session(parent)?.ok_or_else(|| StoreError::not_found("session", parent))?;
        let (integrity, confidentiality) = codec::label_columns(Label::CLEAN);
        let sql = "INSERT INTO sessions
                   (key, title, workspace, integrity, confidentiality, created_at, updated_at, parent)
                   VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?5, ?6)";
        let title = beginning(title, MAX_TITLE);
        self.run(sql, (title, known.workspace.as_str(), integrity, confidentiality, self.now.0, parent.0))?;
        let reader = SessionId(self.last_row());
        let label = known.label.join(label);
        self.raise_label_by(reader, label, BlockOrigin::default(), "the session that the reader works for")?;
        Ok(reader)
    }

    /// Stores what a reader told, and how many bits that can be.
    pub fn add_reading(&mut self, new: NewReading) -> Result<(), StoreError> {
        let (handle, text) = new.passed_on.unzip();
        codec::bounded("text of a reader", text.as_deref().unwrap_or_default(), MAX_TEXT)?;
        let (integrity, confidentiality) = codec::label_columns(new.label);
        let sql = "INSERT INTO readings
                   (session, turn, call, reader, bits, handle, text, integrity, confidentiality, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let ids = (new.session.0, new.turn.0, new.reader.0);
        self.run(
            sql,
            (ids.0, ids.1, &new.call, ids.2, new.bits, handle, text, integrity, confidentiality, self.now.0),
        )?;
        Ok(())
    }
}
