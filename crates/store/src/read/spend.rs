//! What was spent.

use rusqlite::{Connection, Row};
use types::{MicroUsd, Timestamp, TurnId, Usage};

use crate::{
    Store, codec,
    error::StoreError,
    records::{ModelSpend, Spend, SpendScope},
};

impl Store {
    /// What was spent in a turn, a session, a UTC day or a UTC month.
    pub fn spent(&self, scope: SpendScope) -> Result<Spend, StoreError> {
        self.read(|connection| spent(connection, scope))
    }
}

impl Store {
    /// What each of the last turns used that ended before this one, latest first, with its model calls.
    pub fn spent_by_turns(&self, before: TurnId, limit: usize) -> Result<Vec<(Spend, u32)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, turns.step FROM turns JOIN spend_totals ON scope = 0 AND key = turns.id
             WHERE turns.id < ?1 AND ended_at IS NOT NULL ORDER BY turns.id DESC LIMIT ?2"
        );
        let map = |row: &Row<'_>| Ok((map(row)?, row.get(7)?));
        self.read(|connection| codec::all(connection, &sql, (before.0, codec::limit(limit)), map))
    }

    /// What each of the last hours used in which anything was, before this one, latest first.
    pub fn spent_by_hours(&self, before: i64, limit: usize) -> Result<Vec<Spend>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM spend_totals WHERE scope = 4 AND key < ?1 ORDER BY key DESC LIMIT ?2");
        self.read(|connection| codec::all(connection, &sql, (before, codec::limit(limit)), map))
    }

    /// When the owner was last heard of: a message or an answer; none if never.
    pub fn owner_heard(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(at) FROM (
            SELECT max(at) AS at FROM inbox WHERE origin = 'owner' AND session IS NOT NULL
            UNION ALL SELECT max(answered_at) FROM requests WHERE channel IS NOT NULL)";
        let at: Option<Option<i64>> = self.read(|connection| codec::one(connection, sql, [], |row| Ok(row.get(0)?)))?;
        Ok(at.flatten().map(Timestamp))
    }

    /// What turns that nobody attended have cost that began after this.
    pub fn spent_unattended(&self, since: Timestamp) -> Result<MicroUsd, StoreError> {
        let sql = "SELECT total(settled + reserved) FROM turns JOIN spend_totals ON scope = 0 AND key = turns.id
                   WHERE started_at > ?1 AND origin <> 'owner'";
        // A sum of amounts that are not negative; the cast saturates.
        let sum = self.read(|connection| codec::one(connection, sql, [since.0], |row| Ok(row.get::<_, f64>(0)?)))?;
        Ok(MicroUsd(sum.unwrap_or(0.0) as u64))
    }
}

impl Store {
    /// What a month (`year * 100 + month`, UTC) cost by the model that each turn began with, dearest first. What is reserved counts.
    pub fn spent_by_models(&self, year_month: i64) -> Result<Vec<ModelSpend>, StoreError> {
        let sql = "SELECT total(spend.settled), total(iif(spend.settled IS NULL, spend.reserved, 0)), total(input),
                   total(cache_read), total(cache_write), total(output), total(reasoning), turns.model, count(*)
                   FROM spend JOIN turns ON turns.id = spend.turn WHERE spend.month = ?1
                   GROUP BY turns.model ORDER BY total(coalesce(spend.settled, spend.reserved)) DESC, turns.model";
        let map = |row: &Row<'_>| {
            // Sums of amounts that are not negative; the cast saturates.
            let sum = |index| Ok::<_, StoreError>(row.get::<_, f64>(index)? as u64);
            let usage = Usage {
                input: sum(2)?,
                cache_read: sum(3)?,
                cache_write: sum(4)?,
                cache_write_1h: 0,
                output: sum(5)?,
                reasoning: sum(6)?,
            };
            let spend = Spend { settled: MicroUsd(sum(0)?), reserved: MicroUsd(sum(1)?), usage };
            Ok(ModelSpend { model: row.get(7)?, calls: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0), spend })
        };
        self.read(|connection| codec::all(connection, sql, [year_month], map))
    }
}

const COLUMNS: &str = "settled, reserved, input, cache_read, cache_write, output, reasoning";

/// The columns that a scope is stored under.
pub(crate) fn scope_columns(scope: SpendScope) -> (i64, i64) {
    match scope {
        SpendScope::Turn(id) => (0, id.0),
        SpendScope::Session(id) => (1, id.0),
        SpendScope::Day(day) => (2, day),
        SpendScope::Month { year_month } => (3, year_month),
        SpendScope::Hour(hour) => (4, hour),
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
            // Its price has been counted; of the tokens, the sums keep the whole.
            cache_write_1h: 0,
            output: column(5)?,
            reasoning: column(6)?,
        },
    })
}
