//! The real supervisor as the driver's host.

use policy::Grant;
use sandbox::{Program, Record, Records, SandboxError, Supervised, Transport as Reached};
use serde_json::Value;

use super::host::{Host, Order, RecordSource};
use crate::{Launch, Transport};

impl Host for Supervised {
    type Records = Records;

    fn last(&self) -> u64 {
        self.written()
    }

    fn records(&self) -> Records {
        self.records()
    }

    async fn run(&self, grant: &Grant, launch: &Launch, fleeting: &[&str], note: Value) -> Result<u64, SandboxError> {
        let transport = match launch.transport {
            Transport::Lines => Reached::Lines,
            Transport::Http { port } => Reached::Http { port },
            Transport::Silent => Reached::Silent,
        };
        let program = Program {
            argv: launch.argv.clone(),
            env: launch.env.clone(),
            directory: None,
            transport,
            fleeting: fleeting.iter().map(|begin| (*begin).to_owned()).collect(),
        };
        self.run(grant, program, note).await
    }

    fn write(&self, cause: Value, lines: Vec<String>) -> Order {
        let supervised = self.clone();
        Box::pin(async move { supervised.write(cause, lines).await })
    }

    fn end_program(&self) -> Order {
        let supervised = self.clone();
        Box::pin(async move { supervised.end_program().await })
    }
}

impl RecordSource for Records {
    async fn next(&mut self) -> Option<Record> {
        self.next().await
    }
}
