//! What the driver needs of the process that runs a coding agent's program.

use std::{future::Future, pin::Pin};

use policy::Grant;
use sandbox::{Record, SandboxError};
use serde_json::Value;

use crate::Launch;

/// An order that is under way.
pub type Order = Pin<Box<dyn Future<Output = Result<(), SandboxError>> + Send>>;

/// The supervisor of one job, as the driver sees it.
pub trait Host: Send {
    /// The records, from the first on and then as they come.
    type Records: RecordSource;

    /// The sequence number of the newest record that is known, 0 when there is none. Everything up to it can be read without
    /// waiting, and just after attaching nothing that an earlier daemon ordered comes after it.
    fn last(&self) -> u64;

    /// Reads the records from the first on.
    fn records(&self) -> Self::Records;

    /// Starts a program and gives its run number. Lines that begin as `fleeting` says may be left out when the records grow too
    /// long. `note` stands in its record.
    fn run(
        &self,
        grant: &Grant,
        launch: &Launch,
        fleeting: &[&str],
        note: Value,
    ) -> impl Future<Output = Result<u64, SandboxError>> + Send;

    /// Records `lines` with what caused them, then writes them to the program. Done when they are recorded. Without a program it
    /// fails. Lines that the program does not read do not hold it up for ever.
    fn write(&self, cause: Value, lines: Vec<String>) -> Order;

    /// Kills the program with all that it started. A record of its end follows.
    fn end_program(&self) -> Order;
}

/// Where records come from.
pub trait RecordSource: Send {
    /// The next record; none when there will be no more. Loses nothing when it is dropped half-way.
    fn next(&mut self) -> impl Future<Output = Option<Record>> + Send;
}
