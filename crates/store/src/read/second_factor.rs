//! How the second factor stands.

use rusqlite::Connection;
use types::Timestamp;

use crate::{SecondFactor, Store, codec, error::StoreError};

impl Store {
    /// How the second factor stands; none when none is set up.
    pub fn second_factor(&self) -> Result<Option<SecondFactor>, StoreError> {
        self.read(second_factor)
    }
}

pub(crate) fn second_factor(connection: &Connection) -> Result<Option<SecondFactor>, StoreError> {
    let sql = "SELECT since, used_step, failures, locked_until FROM second_factor";
    codec::one(connection, sql, [], |row| {
        let used_step: Option<i64> = row.get(1)?;
        Ok(SecondFactor {
            since: codec::time_at(row, 0)?,
            used_step: used_step.map(|step| u64::try_from(step).unwrap_or(0)),
            failures: row.get(2)?,
            locked_until: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        })
    })
}
