//! Labels of sessions, which only rise, and where they came from.

use types::{Event, Integrity, Invariant, Label, SessionId, TurnId};

use super::{Tx, beginning};
use crate::{codec, error::StoreError};

/// The most characters of a cause.
const MAX_CAUSE: usize = 300;
/// The most causes that are kept of a session. The first ones are those that raised its label.
const MAX_CAUSES: i64 = 100;

/// Which block a label comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockOrigin<'a> {
    /// The turn in which it enters.
    pub turn: Option<TurnId>,
    /// The vendor's id of the tool call whose result it is.
    pub call: Option<&'a str>,
}

impl Tx<'_> {
    /// Joins a label into the session's and returns the result. Records an event only if the label rose.
    pub fn raise_label(&mut self, session: SessionId, label: Label, cause: &str) -> Result<Label, StoreError> {
        self.raise_label_by(session, label, BlockOrigin::default(), cause)
    }

    /// The same for a block that can be named. A foreign result is kept as a cause even where the label was up already,
    /// so that the owner sees all that may speak in the session.
    pub fn raise_label_by(
        &mut self,
        session: SessionId,
        label: Label,
        origin: BlockOrigin<'_>,
        cause: &str,
    ) -> Result<Label, StoreError> {
        let present = self.session(session)?.ok_or_else(|| StoreError::not_found("session", session))?.label;
        let joined = if Invariant::LabelsRise.is_broken() { present } else { present.join(label) };
        let rose = joined != present;
        let is_foreign = origin.call.is_some() && label.integrity == Integrity::Untrusted;
        if rose || is_foreign {
            self.keep_cause(session, label, origin, rose, cause)?;
        }
        if !rose {
            return Ok(present);
        }
        let (integrity, confidentiality) = codec::label_columns(joined);
        let sql = "UPDATE sessions SET integrity = ?2, confidentiality = ?3 WHERE id = ?1";
        self.run(sql, (session.0, integrity, confidentiality))?;
        let event = Event::LabelRaised { label: joined, cause: beginning(cause, MAX_CAUSE) };
        self.record(Some(session), origin.turn, event)?;
        Ok(joined)
    }

    fn keep_cause(
        &mut self,
        session: SessionId,
        label: Label,
        origin: BlockOrigin<'_>,
        rose: bool,
        cause: &str,
    ) -> Result<(), StoreError> {
        let kept = codec::value(self.connection, "SELECT count(*) FROM label_causes WHERE session = ?1", [session.0])?;
        // A label can rise twice at most, so what raised it always finds room.
        if !rose && kept.unwrap_or(0) >= MAX_CAUSES {
            return Ok(());
        }
        let (integrity, confidentiality) = codec::label_columns(label);
        let sql = "INSERT INTO label_causes (session, turn, call, integrity, confidentiality, rose, cause, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let turn = origin.turn.map(|turn| turn.0);
        let cause = beginning(cause, MAX_CAUSE);
        self.run(sql, (session.0, turn, origin.call, integrity, confidentiality, rose, cause, self.now.0))?;
        Ok(())
    }
}
