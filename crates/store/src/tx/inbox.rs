//! Received messages.

use std::borrow::Borrow;

use types::{ChannelId, Event, InboxId, Origin, TurnId, WhenBusy};

use super::Tx;
use crate::{
    MAX_TEXT, codec,
    error::StoreError,
    records::{NewInbox, Received},
};

/// The most bytes of a messenger's number of a message, and of a chat's name.
const MAX_NAME: usize = 1 << 10;
/// How many silenced messages are remembered at least: far more than any messenger delivers again.
const MAX_SILENCED: i64 = 10_000;
/// How many more there may be before the oldest are forgotten: looking for them costs time.
const SILENCED_SLACK: i64 = 1_000;

impl Tx<'_> {
    /// Stores a received message. The second time, or after it was silenced, nothing happens. Once this is committed
    /// the messenger may be told that we have it.
    pub fn receive(&mut self, new: NewInbox) -> Result<Received, StoreError> {
        codec::bounded("message", &new.text, MAX_TEXT)?;
        codec::bounded("number of the message", &new.remote_id, MAX_NAME)?;
        codec::bounded("name of the chat", new.reply_to.as_deref().unwrap_or_default(), MAX_NAME)?;
        if let Some(id) = self.received(&new.channel, &new.remote_id)? {
            return Ok(Received { id, duplicate: true });
        }
        self.touch(new.session)?;
        let sql = "INSERT INTO inbox (channel, remote_id, session, text, reply_to, when_busy, origin, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let when_busy = codec::word("choice", &new.when_busy)?;
        let origin = codec::word("origin", &new.origin)?;
        let channel = new.channel.as_str();
        self.run(
            sql,
            (channel, &new.remote_id, new.session.0, &new.text, &new.reply_to, when_busy, origin, self.now.0),
        )?;
        let id = InboxId(self.last_row());
        let event = Event::MessageReceived { inbox: id, channel: new.channel, text: new.text };
        self.record(Some(new.session), None, event)?;
        Ok(Received { id, duplicate: false })
    }

    /// Remembers that a message was ignored, so that it is not looked at again. Nothing of its content is kept.
    pub fn note_silenced(
        &mut self,
        channel: impl Borrow<ChannelId>,
        remote_id: impl Into<String>,
    ) -> Result<(), StoreError> {
        let remote_id = remote_id.into();
        codec::bounded("number of the message", &remote_id, MAX_NAME)?;
        let sql = "INSERT INTO inbox (channel, remote_id, text, when_busy, origin, at) VALUES (?1, ?2, '', ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        let when_busy = codec::word("choice", &WhenBusy::Queue)?;
        let origin = codec::word("origin", &Origin::Program)?;
        self.run(sql, (channel.borrow().as_str(), remote_id, when_busy, origin, self.now.0))?;
        // A stranger can send as many as they like, so only the latest are kept.
        if self.last_row() % SILENCED_SLACK == 0 {
            let sql = "DELETE FROM inbox WHERE session IS NULL AND id <=
                       (SELECT id FROM inbox WHERE session IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?1)";
            self.run(sql, [MAX_SILENCED])?;
        }
        Ok(())
    }

    /// Gives a waiting message to a turn that runs: steering.
    pub fn take_inbox(&mut self, turn: TurnId, inbox: InboxId) -> Result<(), StoreError> {
        self.mark_taken(turn, inbox)?;
        let session = self.session_of_turn(turn)?;
        self.record(Some(session), Some(turn), Event::Steered { inbox })?;
        Ok(())
    }

    /// Marks a waiting message of the turn's own session as taken. A message can be taken once.
    pub(super) fn mark_taken(&mut self, turn: TurnId, inbox: InboxId) -> Result<(), StoreError> {
        let sql = "UPDATE inbox SET turn = ?1 WHERE id = ?2 AND turn IS NULL
                   AND session = (SELECT session FROM turns WHERE id = ?1)";
        if self.run(sql, (turn.0, inbox.0))? == 0 {
            return Err(StoreError::Conflict(format!("message {inbox} does not wait in the session of turn {turn}")));
        }
        Ok(())
    }

    fn received(&self, channel: &ChannelId, remote_id: &str) -> Result<Option<InboxId>, StoreError> {
        let sql = "SELECT id FROM inbox WHERE channel = ?1 AND remote_id = ?2";
        Ok(codec::value(self.connection, sql, (channel.as_str(), remote_id))?.map(InboxId))
    }
}
