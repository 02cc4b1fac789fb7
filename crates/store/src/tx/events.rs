//! The journal of events.

use types::{Envelope, Event, Seq, SessionId, TurnId};

use super::Tx;
use crate::{codec, error::StoreError};

impl Tx<'_> {
    /// Records an event. Subscribers get it after the commit. Ephemeral events are refused: they have no place in the
    /// journal, see [`crate::Store::publish`].
    pub fn record(
        &mut self,
        session: Option<SessionId>,
        turn: Option<TurnId>,
        event: Event,
    ) -> Result<Seq, StoreError> {
        if is_ephemeral(&event) {
            return Err(StoreError::Conflict("an ephemeral event cannot be recorded".to_owned()));
        }
        let text = codec::encode("event", &event)?;
        let sql = "INSERT INTO events (at, session, turn, event) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, (self.now.0, session.map(|id| id.0), turn.map(|id| id.0), text))?;
        let seq = Seq(self.last_row());
        self.pending.events.push(Envelope { seq: Some(seq), at: self.now, session, turn, event });
        Ok(seq)
    }
}

fn is_ephemeral(event: &Event) -> bool {
    match event {
        Event::TextDelta { .. }
        | Event::ThinkingDelta { .. }
        | Event::ModelRetry { .. }
        | Event::CoderDelta { .. }
        | Event::ToolProgress { .. } => true,
        Event::MessageReceived { .. }
        | Event::TurnStarted { .. }
        | Event::TurnResumed
        | Event::Steered { .. }
        | Event::StepStarted { .. }
        | Event::ModelSwitched { .. }
        | Event::ModelAnswered { .. }
        | Event::ToolStarted { .. }
        | Event::ToolFinished { .. }
        | Event::OwnerAsked { .. }
        | Event::OwnerAnswered { .. }
        | Event::Proposed { .. }
        | Event::ProposalSettled { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotRestored { .. }
        | Event::Compacted { .. }
        | Event::LabelRaised { .. }
        | Event::TurnFinished { .. }
        | Event::Delivered { .. }
        | Event::DeliveryFailed { .. }
        | Event::JobQueued { .. }
        | Event::JobMoved { .. }
        | Event::CoderSaid { .. }
        | Event::JobChecked { .. }
        | Event::JobProgress { .. }
        | Event::JobFinished { .. }
        | Event::Notice { .. } => false,
    }
}
