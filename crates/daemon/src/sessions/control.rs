//! What the supervisor can do to a worker that runs.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use types::InboxId;

/// Shared between the supervisor and one worker.
#[derive(Debug, Default)]
pub(super) struct Control {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The running turn's token.
    turn: Option<CancellationToken>,
    /// STOP was said: messages up to this one must not be begun, and neither may a turn that is just beginning.
    stopped: Option<InboxId>,
}

impl Control {
    /// Begins a turn and gives its token, which is cancelled already if STOP fell between the choice of the turn and
    /// this.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let mut state = self.state();
        if state.stopped.is_some() {
            token.cancel();
        }
        state.turn = Some(token.clone());
        token
    }

    /// The turn has ended.
    pub fn end(&self) {
        self.state().turn = None;
    }

    /// Cancels the running turn, if one runs.
    pub fn interrupt(&self) -> bool {
        let state = self.state();
        state.turn.as_ref().inspect(|token| token.cancel()).is_some()
    }

    /// Cancels the running turn and lets the messages that wait be put aside, up to this one.
    pub fn stop(&self, last: InboxId) -> bool {
        let mut state = self.state();
        state.stopped = state.stopped.max(Some(last));
        state.turn.as_ref().inspect(|token| token.cancel()).is_some()
    }

    /// The last message that had come when STOP was said, if it was said since this was last asked.
    pub fn take_stopped(&self) -> Option<InboxId> {
        self.state().stopped.take()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_while_a_turn_begins_reaches_it() {
        let control = Control::default();
        assert!(!control.stop(InboxId(7)));
        assert!(control.begin().is_cancelled());
        assert_eq!(control.take_stopped(), Some(InboxId(7)));
        assert!(!control.begin().is_cancelled());
    }
}
