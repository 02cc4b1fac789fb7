//! The tokio runtimes. They are built only by verbs that wait for something, so that the others start at once.

use std::{future::Future, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::error::{Stop, internal};

/// Runs the daemon: two workers carry it, and idle threads cost memory.
pub fn serve(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    run(Builder::new_multi_thread().worker_threads(2).thread_name("factotum").enable_all().build(), work)
}

/// Runs a verb that asks a daemon and waits for its answer.
pub fn ask(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    run(Builder::new_current_thread().enable_all().build(), work)
}

fn run(runtime: std::io::Result<Runtime>, work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    let runtime = runtime.map_err(|error| internal(format!("no threads can be started: {error}")))?;
    let result = runtime.block_on(work);
    // A blocking call that hangs (a dead network disk) must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}
