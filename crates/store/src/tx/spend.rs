//! Money and tokens: set aside before a model call, settled after it, never forgotten.

use rusqlite::Row;
use types::{MicroUsd, TurnId, Usage};

use super::Tx;
use crate::{
    calendar::{hour_of, year_month},
    codec,
    error::StoreError,
    read::scope_columns,
    records::SpendScope,
};

/// The most that one model call counts for, in millionths of a dollar and in tokens: about a million dollars. It keeps
/// all sums within 64 bits for eight million calls at that price.
const MAX_AMOUNT: u64 = 1 << 40;

/// The sums that a model call counts in.
struct Buckets {
    turn: i64,
    session: i64,
    day: i64,
    month: i64,
    hour: i64,
}

/// What is added to the sums.
#[derive(Clone, Copy, Default)]
struct Change {
    reserved: i64,
    settled: i64,
    usage: Usage,
}

/// A model call that was begun and not settled.
struct Open {
    row: i64,
    reserved: i64,
    buckets: Buckets,
}

impl Tx<'_> {
    /// Sets an amount aside for a model call. If the same call has one open already, that one counts as spent: it was
    /// interrupted, and the vendor may bill it.
    pub fn reserve(&mut self, turn: TurnId, step: u32, amount: MicroUsd) -> Result<(), StoreError> {
        self.settle_unknown(turn, step)?;
        let reserved = bounded(amount.0);
        let buckets = self.buckets(turn)?;
        let sql = "INSERT INTO spend (turn, step, session, day, month, hour, reserved)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.run(sql, (turn.0, step, buckets.session, buckets.day, buckets.month, buckets.hour, reserved))?;
        self.add(&buckets, Change { reserved, ..Change::default() })
    }

    /// Replaces what was set aside for a model call by what it came to; a cost that is not known counts as nothing.
    pub fn settle(&mut self, turn: TurnId, step: u32, usage: Usage, cost: Option<MicroUsd>) -> Result<(), StoreError> {
        // A call that nothing was set aside for has been made all the same and must count.
        if self.open_spend(turn, step)?.is_none() {
            self.reserve(turn, step, MicroUsd(0))?;
        }
        let settled = cost.map_or(0, |cost| bounded(cost.0));
        self.settle_row(turn, step, Some(settled), usage)
    }

    /// Counts what was set aside for a model call as spent, because nobody can say what it came to. Does nothing if the
    /// call is not open.
    pub fn settle_unknown(&mut self, turn: TurnId, step: u32) -> Result<(), StoreError> {
        self.settle_row(turn, step, None, Usage::default())
    }

    /// Counts all open model calls of a turn as spent.
    pub(super) fn settle_open(&mut self, turn: TurnId) -> Result<(), StoreError> {
        let sql = "SELECT step FROM spend WHERE turn = ?1 AND settled IS NULL";
        for step in codec::all(self.connection, sql, [turn.0], |row| Ok(row.get::<_, u32>(0)?))? {
            self.settle_unknown(turn, step)?;
        }
        Ok(())
    }

    /// Settles the open row of a model call, if there is one: to `cost`, or to what was set aside.
    fn settle_row(&mut self, turn: TurnId, step: u32, cost: Option<i64>, usage: Usage) -> Result<(), StoreError> {
        let Some(open) = self.open_spend(turn, step)? else { return Ok(()) };
        let settled = cost.unwrap_or(open.reserved);
        let sql = "UPDATE spend SET settled = ?2, input = ?3, cache_read = ?4, cache_write = ?5, output = ?6,
                   reasoning = ?7 WHERE id = ?1";
        let [input, cache_read, cache_write, output, reasoning] = columns(usage);
        self.run(sql, (open.row, settled, input, cache_read, cache_write, output, reasoning))?;
        self.add(&open.buckets, Change { reserved: -open.reserved, settled, usage })
    }

    fn open_spend(&self, turn: TurnId, step: u32) -> Result<Option<Open>, StoreError> {
        let sql = "SELECT id, reserved, session, day, month, hour FROM spend
                   WHERE turn = ?1 AND step = ?2 AND settled IS NULL";
        let map = |row: &Row<'_>| {
            let (day, month, hour) = (row.get(3)?, row.get(4)?, row.get(5)?);
            let buckets = Buckets { turn: turn.0, session: row.get(2)?, day, month, hour };
            Ok(Open { row: row.get(0)?, reserved: row.get(1)?, buckets })
        };
        codec::one(self.connection, sql, (turn.0, step), map)
    }

    /// The sums that a model call begun now counts in. The day is the clock's, as it is for whoever asks what was spent
    /// today: the journal's time may be ahead of it after the clock was put back.
    fn buckets(&self, turn: TurnId) -> Result<Buckets, StoreError> {
        let session = self.session_of_turn(turn)?.0;
        let (day, month, hour) = (self.clock.day(), year_month(self.clock), hour_of(self.clock));
        Ok(Buckets { turn: turn.0, session, day, month, hour })
    }

    fn add(&mut self, buckets: &Buckets, change: Change) -> Result<(), StoreError> {
        let scopes = [
            SpendScope::Turn(TurnId(buckets.turn)),
            SpendScope::Session(types::SessionId(buckets.session)),
            SpendScope::Day(buckets.day),
            SpendScope::Month { year_month: buckets.month },
            SpendScope::Hour(buckets.hour),
        ];
        let sql = "INSERT INTO spend_totals
                   (scope, key, reserved, settled, input, cache_read, cache_write, output, reasoning)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (scope, key) DO UPDATE SET
                   reserved = reserved + excluded.reserved, settled = settled + excluded.settled,
                   input = input + excluded.input, cache_read = cache_read + excluded.cache_read,
                   cache_write = cache_write + excluded.cache_write, output = output + excluded.output,
                   reasoning = reasoning + excluded.reasoning";
        let [input, cache_read, cache_write, output, reasoning] = columns(change.usage);
        for scope in scopes {
            let (kind, key) = scope_columns(scope);
            let sums = (change.reserved, change.settled);
            self.run(sql, (kind, key, sums.0, sums.1, input, cache_read, cache_write, output, reasoning))?;
        }
        Ok(())
    }
}

fn columns(usage: Usage) -> [i64; 5] {
    [usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning].map(bounded)
}

fn bounded(amount: u64) -> i64 {
    // It is far below the greatest i64.
    amount.min(MAX_AMOUNT) as i64
}
