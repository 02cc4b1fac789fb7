//! What others can do to the worker of a job.

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Shared between the engine and one worker.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// STOP was said.
    pub stop: CancellationToken,
    /// Words of the owner wait in the inbox of its session.
    pub said: Notify,
}
