//! Delivery obligations.

use rusqlite::Row;
use types::{ChannelId, Event, OutboxId, SessionId, Timestamp, TurnId};

use super::{Tx, beginning, found};
use crate::{
    codec,
    error::StoreError,
    read::{PENDING, SENDING, SENT},
    records::NewDelivery,
};

/// The most bytes of a key and of a chat's name.
const MAX_NAME: usize = 1 << 10;
/// The most characters of an error that are kept.
const MAX_ERROR: usize = 2_000;
/// The state of a delivery that was given up.
const FAILED: i64 = crate::read::FAILED;

/// Whose delivery it is and how far it has come.
struct Place {
    session: Option<SessionId>,
    turn: Option<TurnId>,
    channel: ChannelId,
    state: i64,
    possible_repeat: bool,
}

impl Tx<'_> {
    /// Makes a delivery obligation. None when there is one with the same key.
    pub fn deliver(&mut self, new: NewDelivery) -> Result<Option<OutboxId>, StoreError> {
        codec::bounded("key of a delivery", &new.key, MAX_NAME)?;
        codec::bounded("name of the chat", &new.target, MAX_NAME)?;
        let body = codec::encode("delivery", &new.body)?;
        let sql = "INSERT INTO outbox (session, turn, channel, target, body, key, next_at, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (key) DO NOTHING";
        let (session, turn) = (new.session.map(|id| id.0), new.turn.map(|id| id.0));
        if self.run(sql, (session, turn, new.channel.as_str(), &new.target, body, &new.key, self.now.0))? == 0 {
            return Ok(None);
        }
        self.pending.outbox = true;
        Ok(Some(OutboxId(self.last_row())))
    }

    /// Notes that sending begins. Once this is committed, the message may be sent. A delivery that is being sent
    /// already was left without an outcome, so from then on it counts as a possible repeat.
    pub fn outbox_sending(&mut self, id: OutboxId) -> Result<(), StoreError> {
        let sql =
            "UPDATE outbox SET possible_repeat = possible_repeat OR state = ?2, state = ?2, attempts = attempts + 1
                   WHERE id = ?1 AND state IN (?3, ?2)";
        if self.run(sql, (id.0, SENDING, PENDING))? == 0 {
            self.delivery(id)?;
            return Err(StoreError::Conflict(format!("delivery {id} is settled")));
        }
        Ok(())
    }

    /// Notes that the messenger has it. The second time nothing happens.
    pub fn outbox_sent(&mut self, id: OutboxId, remote_id: impl Into<String>) -> Result<(), StoreError> {
        let place = self.delivery(id)?;
        if place.state == SENT {
            return Ok(());
        }
        let remote_id = beginning(&remote_id.into(), MAX_NAME);
        self.run("UPDATE outbox SET state = ?2, remote_id = ?3 WHERE id = ?1", (id.0, SENT, remote_id))?;
        let event = Event::Delivered { outbox: id, channel: place.channel, possible_repeat: place.possible_repeat };
        self.record(place.session, place.turn, event)?;
        Ok(())
    }

    /// Notes that the messenger does not have it and that it is to be sent again at `at`.
    pub fn outbox_retry(&mut self, id: OutboxId, at: Timestamp, error: impl Into<String>) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET state = ?2, next_at = ?3, error = ?4 WHERE id = ?1 AND state IN (?2, ?5)";
        let error = beginning(&error.into(), MAX_ERROR);
        found(self.run(sql, (id.0, PENDING, at.0, error, SENDING))?, "unsent delivery", id)
    }

    /// Gives a delivery up.
    pub fn outbox_failed(&mut self, id: OutboxId, error: impl Into<String>) -> Result<(), StoreError> {
        let place = self.delivery(id)?;
        if place.state == SENT || place.state == FAILED {
            return Ok(());
        }
        let error = beginning(&error.into(), MAX_ERROR);
        self.run("UPDATE outbox SET state = ?2, error = ?3 WHERE id = ?1", (id.0, FAILED, &error))?;
        let event = Event::DeliveryFailed { outbox: id, channel: place.channel, error };
        self.record(place.session, place.turn, event)?;
        Ok(())
    }

    fn delivery(&self, id: OutboxId) -> Result<Place, StoreError> {
        let sql = "SELECT session, turn, channel, state, possible_repeat FROM outbox WHERE id = ?1";
        let map = |row: &Row<'_>| {
            Ok(Place {
                session: codec::id_at(row, 0, SessionId)?,
                turn: codec::id_at(row, 1, TurnId)?,
                channel: ChannelId::from_stored(row.get(2)?),
                state: row.get(3)?,
                possible_repeat: row.get(4)?,
            })
        };
        codec::one(self.connection, sql, [id.0], map)?.ok_or_else(|| StoreError::not_found("delivery", id))
    }
}
