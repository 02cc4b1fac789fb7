//! What was spent.

use rusqlite::{Connection, Row};
use types::{MicroUsd, Usage};

use crate::{
    Store, codec,
    error::StoreError,
    records::{Spend, SpendScope},
};

impl Store {
    /// What was spent in a turn, a session, a UTC day or a UTC month.
    pub fn spent(&self, scope: SpendScope) -> Result<Spend, StoreError> {
        self.read(|connection| spent(connection, scope))
    }
}

/// The columns that a scope is stored under.
pub(crate) fn scope_columns(scope: SpendScope) -> (i64, i64) {
    match scope {
        SpendScope::Turn(id) => (0, id.0),
        SpendScope::Session(id) => (1, id.0),
        SpendScope::Day(day) => (2, day),
        SpendScope::Month { year_month } => (3, year_month),
    }
}

pub(crate) fn spent(connection: &Connection, scope: SpendScope) -> Result<Spend, StoreError> {
    let sql = "SELECT settled, reserved, input, cache_read, cache_write, output, reasoning FROM spend_totals
               WHERE scope = ?1 AND key = ?2";
    Ok(codec::one(connection, sql, scope_columns(scope), map)?.unwrap_or_default())
}

fn map(row: &Row<'_>) -> Result<Spend, StoreError> {
    // Only sums of amounts that are not negative are stored.
    let column = |index| Ok::<_, StoreError>(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0));
    Ok(Spend {
        settled: MicroUsd(column(0)?),
        reserved: MicroUsd(column(1)?),
        usage: Usage {
            input: column(2)?,
            cache_read: column(3)?,
            cache_write: column(4)?,
            output: column(5)?,
            reasoning: column(6)?,
        },
    })
}
