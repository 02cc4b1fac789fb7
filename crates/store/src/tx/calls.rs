//! Tool calls: planned, started, finished. The state is durable before the effect may happen.

use types::{Event, ToolEnd, ToolOutput, TurnId};

use super::{Tx, beginning};
use crate::{MAX_TEXT, codec, error::StoreError, records::NewCall};

/// The most characters of a result that the event shows.
const MAX_PREVIEW: usize = 500;
/// The most characters of a call's summary.
const MAX_SUMMARY: usize = 2_000;

/// A call as it is found again by the vendor's id.
struct Found {
    row: i64,
    name: String,
    is_finished: bool,
}

impl Tx<'_> {
    /// Stores that the model asked for a call. Two calls of one step with the same id are a conflict.
    pub fn plan_call(&mut self, new: NewCall) -> Result<(), StoreError> {
        let input = codec::encode("arguments of a call", &new.call.input)?;
        let sql = "INSERT INTO calls (turn, step, call, name, input) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        if self.run(sql, (new.turn.0, new.step, &new.call.id, &new.call.name, input))? == 0 {
            return Err(StoreError::Conflict(format!("two calls of one step have the id `{}`", new.call.id)));
        }
        Ok(())
    }

    /// Stores that a call is about to have its effect. May be repeated for a call that is run again.
    pub fn start_call(&mut self, turn: TurnId, call: &str, summary: &str, read_only: bool) -> Result<(), StoreError> {
        let found = self.open_call(turn, call)?;
        let summary = beginning(summary, MAX_SUMMARY);
        let sql = "UPDATE calls SET started = 1, summary = ?2, read_only = ?3 WHERE id = ?1";
        self.run(sql, (found.row, &summary, read_only))?;
        let session = self.session_of_turn(turn)?;
        let event = Event::ToolStarted { call: call.to_owned(), tool: found.name, summary };
        self.record(Some(session), Some(turn), event)?;
        Ok(())
    }

    /// Stores what came of a call, whether it was started or not.
    pub fn finish_call(
        &mut self,
        turn: TurnId,
        call: &str,
        end: ToolEnd,
        output: ToolOutput,
    ) -> Result<(), StoreError> {
        codec::bounded("result of a call", &output.text, MAX_TEXT)?;
        let found = self.open_call(turn, call)?;
        let word = codec::word("end of a call", &end)?;
        let encoded = codec::encode("result of a call", &output)?;
        self.run("UPDATE calls SET end = ?2, output = ?3 WHERE id = ?1", (found.row, word, encoded))?;
        let session = self.session_of_turn(turn)?;
        let preview = beginning(&output.text, MAX_PREVIEW);
        let event = Event::ToolFinished { call: call.to_owned(), tool: found.name, end, preview };
        self.record(Some(session), Some(turn), event)?;
        Ok(())
    }

    /// The latest call with this id, which must not have finished.
    fn open_call(&self, turn: TurnId, call: &str) -> Result<Found, StoreError> {
        let sql =
            "SELECT id, name, end IS NOT NULL FROM calls WHERE turn = ?1 AND call = ?2 ORDER BY step DESC LIMIT 1";
        let map = |row: &rusqlite::Row<'_>| Ok(Found { row: row.get(0)?, name: row.get(1)?, is_finished: row.get(2)? });
        let found = codec::one(self.connection, sql, (turn.0, call), map)?;
        let found = found.ok_or_else(|| StoreError::not_found("call", call))?;
        if found.is_finished {
            return Err(StoreError::Conflict(format!("the call `{call}` has finished")));
        }
        Ok(found)
    }
}
