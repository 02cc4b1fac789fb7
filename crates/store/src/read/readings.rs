//! What readers told.

use types::SessionId;

use crate::{Store, codec, error::StoreError, records::Handle};

impl Store {
    /// How many bits the readers of a session have told it.
    pub fn bits_read(&self, session: SessionId) -> Result<u32, StoreError> {
        let sql = "SELECT coalesce(sum(bits), 0) FROM readings WHERE session = ?1";
        let bits: Option<i64> = self.read(|connection| codec::value(connection, sql, [session.0]))?;
        Ok(u32::try_from(bits.unwrap_or(0)).unwrap_or(u32::MAX))
    }

    /// The text behind a handle of this session. Another session's handle is none.
    pub fn handle(&self, session: SessionId, name: &str) -> Result<Option<Handle>, StoreError> {
        let sql = "SELECT handle, text, integrity, confidentiality FROM readings WHERE session = ?1 AND handle = ?2";
        self.read(|connection| {
            codec::one(connection, sql, (session.0, name), |row| {
                Ok(Handle { name: row.get(0)?, text: row.get(1)?, label: codec::label_at(row, 2)? })
            })
        })
    }
}
