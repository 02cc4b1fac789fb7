//! What the supervisor can do to a worker that runs.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Shared between the supervisor and one worker.
#[derive(Debug, Default)]
pub(super) struct Control {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The running turn's token.
    turn: Option<CancellationToken>,
    /// STOP was said: messages that wait must not be begun.
    stopped: bool,
}

impl Control {
    /// Begins a turn and gives its token.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        self.state().turn = Some(token.clone());
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

    /// Cancels the running turn and lets what waits be put aside.
    pub fn stop(&self) -> bool {
        let mut state = self.state();
        state.stopped = true;
        state.turn.as_ref().inspect(|token| token.cancel()).is_some()
    }

    /// Whether STOP was said since this was last asked.
    pub fn take_stopped(&self) -> bool {
        std::mem::take(&mut self.state().stopped)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
