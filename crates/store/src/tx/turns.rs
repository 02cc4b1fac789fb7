//! Turns: each begins once and ends once.

use types::{ChannelId, Event, SessionId, TurnEnd, TurnId};

use super::{Tx, found};
use crate::{
    MAX_TEXT, codec,
    error::StoreError,
    records::{NewTurn, SpendScope},
};

impl Tx<'_> {
    /// Begins a turn and marks the messages that it answers as taken.
    pub fn begin_turn(&mut self, new: NewTurn) -> Result<TurnId, StoreError> {
        self.touch(new.session)?;
        let origin = codec::word("origin", &new.origin)?;
        let sql = "INSERT INTO turns (session, origin, model, reply_channel, reply_to, started_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let channel = new.reply_channel.as_str();
        self.run(sql, (new.session.0, origin, &new.model, channel, &new.reply_to, self.now.0))?;
        let turn = TurnId(self.last_row());
        for inbox in &new.inbox {
            self.mark_taken(turn, *inbox)?;
        }
        let event = Event::TurnStarted { origin: new.origin, model: new.model, inbox: new.inbox };
        self.record(Some(new.session), Some(turn), event)?;
        Ok(turn)
    }

    /// Sets the number of the model call that the turn is at.
    pub fn set_turn_step(&mut self, turn: TurnId, step: u32) -> Result<(), StoreError> {
        found(self.run("UPDATE turns SET step = ?2 WHERE id = ?1", (turn.0, step))?, "turn", turn)
    }

    /// Ends a turn and records what it came to. Model calls that are still open count as spent. The answer waits to be
    /// delivered if there is a chat to deliver it to: the turn's own, or that of a message that steered it. False when the turn had ended before; nothing happens then.
    pub fn finish_turn(&mut self, turn: TurnId, end: TurnEnd, text: String) -> Result<bool, StoreError> {
        codec::bounded("final text", &text, MAX_TEXT)?;
        let session = self.session_of_turn(turn)?;
        let sql = "UPDATE turns SET ended_at = ?2, end = ?3, text = ?4,
                   undelivered = (reply_to IS NOT NULL AND reply_channel <> ?5) OR EXISTS (
                       SELECT 1 FROM inbox WHERE inbox.turn = ?1 AND inbox.reply_to IS NOT NULL AND channel <> ?5
                   ) WHERE id = ?1 AND ended_at IS NULL";
        let encoded = codec::encode("end of a turn", &end)?;
        if self.run(sql, (turn.0, self.now.0, encoded, &text, ChannelId::api().as_str()))? == 0 {
            return Ok(false);
        }
        self.settle_open(turn)?;
        self.touch(session)?;
        let spent = self.spent(SpendScope::Turn(turn))?;
        let steps = codec::value(self.connection, "SELECT step FROM turns WHERE id = ?1", [turn.0])?.unwrap_or(0);
        let event = Event::TurnFinished { end, text, steps, usage: spent.usage, cost: spent.settled };
        self.record(Some(session), Some(turn), event)?;
        Ok(true)
    }

    /// Notes that the deliveries of a turn's answer were made.
    pub fn mark_turn_delivered(&mut self, turn: TurnId) -> Result<(), StoreError> {
        found(self.run("UPDATE turns SET undelivered = 0 WHERE id = ?1", [turn.0])?, "turn", turn)
    }

    pub(super) fn session_of_turn(&self, turn: TurnId) -> Result<SessionId, StoreError> {
        let session = codec::value(self.connection, "SELECT session FROM turns WHERE id = ?1", [turn.0])?;
        session.map(SessionId).ok_or_else(|| StoreError::not_found("turn", turn))
    }
}
