//! Dialects fed with what the real programs said, and the means to record it anew.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start the real programs, and say what they expect by failing"
)]

mod acp;
mod claude;
mod codex;
mod http;
mod opencode;
mod record;
mod recording;
