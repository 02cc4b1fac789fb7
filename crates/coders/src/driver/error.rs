//! Why a coding agent could not be driven.

use sandbox::SandboxError;

use crate::Unsupported;

/// Why a coding agent could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The configuration has no such coding agent.
    #[error("there is no coding agent `{0}`; `factotum coder list` shows those that there are")]
    Unknown(String),
    /// A program runs already.
    #[error("the coding agent's program runs already")]
    Running,
    /// No program runs.
    #[error("the coding agent's program is not running")]
    NotRunning,
    /// Nobody waits for an answer to this.
    #[error("permission {0} is not asked for any more")]
    NotAsked(String),
    /// No turn runs that words could reach.
    #[error("the coding agent's turn is over; words go with the next prompt")]
    Idle,
    /// The coding agent cannot be told this.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The supervisor did not do what it was told.
    #[error("the job's supervisor failed: {0}")]
    Host(#[from] SandboxError),
    /// The supervisor took too long to do what it was told.
    #[error("the job's supervisor does not answer")]
    Slow,
    /// The supervisor was told to end the program and has not.
    #[error("the coding agent's program could not be ended; end its supervisor")]
    Stuck,
}
