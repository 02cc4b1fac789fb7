//! The little state of a turn that its messages and calls do not tell: which model call is open and how often the loop
//! had to help the model along. It is written in the transactions that are made anyway.

use policy::alarm::Used;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, Tx};
use types::{SessionId, TurnId};

use crate::estimate::Calibration;

/// The state. One per session, since a session runs one turn at a time; so it does not grow with the turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// The turn it belongs to.
    pub turn: i64,
    /// The model call that was begun and is not settled.
    pub open: Option<u32>,
    /// The model that is asked, by its name for the owner.
    pub model: Option<String>,
    /// Models that failed in this turn: they are not asked again in it.
    pub failed: Vec<String>,
    /// How often an answer that was cut off was continued.
    pub continued: u32,
    /// How often the vendor paused.
    pub paused: u32,
    /// How often an answer was empty.
    pub empty: u32,
    /// How often the conversation was too long for the vendor.
    pub overflows: u32,
    /// The context must be shortened before the next call.
    pub must_compact: bool,
    /// The context was shortened and no answer has come since: shortening it again would not help.
    pub compacted: bool,
    /// How often the task was paused.
    pub pauses: u32,
    /// How often the owner's answer to a pause was neither yes nor no.
    pub unclear: u32,
    /// What the owner let pass.
    pub accepted: Used,
    /// What the owner let pass of an hour.
    pub accepted_hour: (i64, Used),
    /// How many calls there had been then.
    pub accepted_calls: u64,
    /// What is known of the model's tokens; outlives the turn.
    pub calibration: Calibration,
}

impl Progress {
    /// Of this turn, or a fresh one that keeps what outlives a turn. What cannot be read counts as absent.
    pub(crate) fn load(store: &Store, session: SessionId, turn: TurnId) -> Result<Self, StoreError> {
        let stored: Self = Self::latest(store, session)?;
        Ok(if stored.turn == turn.0 { stored } else { stored.for_turn(turn) })
    }

    /// Of the session's last turn.
    pub(crate) fn latest(store: &Store, session: SessionId) -> Result<Self, StoreError> {
        let text = store.cursor(&key(session))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// The beginning of another turn.
    pub(crate) fn for_turn(&self, turn: TurnId) -> Self {
        Self { turn: turn.0, calibration: self.calibration, ..Self::default() }
    }

    pub(crate) fn save(&self, tx: &mut Tx<'_>, session: SessionId) -> Result<(), StoreError> {
        let text = serde_json::to_string(self).expect("numbers and flags can be written");
        tx.set_cursor(key(session), text)
    }
}

fn key(session: SessionId) -> String {
    format!("turn-progress:{session}")
}
