//! The programs of jobs without a daemon: they go on, so there must be a way to end them.

use std::path::Path;

use sandbox::Supervised;
use types::Failure;

use crate::{Home, failure::user, terminals};

/// Ends the programs of all jobs, with their supervisors and sandboxes, and says of how many. No daemon may run on the home. The
/// jobs themselves stay as they are: the next daemon goes on with those that were not stopped.
pub async fn end_jobs(home: &Path) -> Result<usize, Failure> {
    let home = Home::existing(home).map_err(|error| error.failure())?;
    let _lock = home.lock().map_err(|error| error.failure())?;
    let hint = "try again, and if that does not help, end the processes that `pgrep -f sandbox-supervisor-stays` names";
    Supervised::end_all(&terminals::jobs(home.path())).await.map_err(|error| user(error.to_string(), hint))
}
