//! A supervisor in memory, that lives on when a driver is dropped.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use policy::{Act, Grant, decide_own};
use sandbox::{Record, SandboxError, What};
use serde_json::Value;
use tokio::sync::watch;

use super::parrot::Parrot;
use crate::{
    Coder, Cursor, Driver, Host, Launch, Order, RecordSource, Registry, Said, StallLimits, Start, driver::talk::Talk,
};

/// The most bytes of one order.
pub(super) const LIMIT: usize = 100_000;

#[derive(Default)]
struct State {
    records: Vec<Record>,
    runs: u64,
    running: bool,
    /// Orders to kill are taken and not carried out.
    undying: bool,
    refuses: bool,
}

#[derive(Clone)]
pub(super) struct Memory {
    state: Arc<Mutex<State>>,
    grown: watch::Sender<u64>,
}

impl Memory {
    pub fn new() -> Self {
        Self { state: Arc::default(), grown: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn record(&self, what: What) {
        let mut state = self.state();
        let seq = state.records.len() as u64 + 1;
        match &what {
            What::Started { .. } => (state.running, state.runs) = (true, state.runs + 1),
            What::Ended { .. } => state.running = false,
            _ => {}
        }
        state.records.push(Record { seq, at: seq as i64, what });
        drop(state);
        self.grown.send_replace(seq);
    }

    /// The program says something, if one runs.
    pub fn say(&self, line: &str) {
        if self.state().running {
            self.record(What::Out { line: line.to_owned() });
        }
    }

    pub fn end(&self, code: Option<i32>) {
        if self.state().running {
            self.record(What::Ended { code, signal: None, why: None });
        }
    }

    pub fn is_running(&self) -> bool {
        self.state().running
    }

    pub fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    pub fn cannot_kill(&self) {
        self.state().undying = true;
    }

    pub fn refuse(&self) {
        self.state().refuses = true;
    }

    pub async fn attach(&self, after: Cursor) -> Driver<Self> {
        let limits = StallLimits { starting_s: 10, thinking_s: 100, tool_s: 1000, retrying_s: 50, stopping_s: 5 };
        Driver::attach(self.clone(), parrots(), after, limits).await.unwrap()
    }

    /// What one reader who never crashed makes of the whole file.
    pub fn told(&self) -> (Talk, Vec<Said>) {
        let mut talk = Talk::new(parrots());
        let mut told = Vec::new();
        for record in self.records() {
            let events = talk.take(&record).events;
            let count = events.len();
            told.extend(events.into_iter().enumerate().map(|(index, event)| Said {
                cursor: Cursor { seq: record.seq, index: index as u32, at: record.at },
                last: index + 1 == count,
                at: record.at,
                event,
            }));
        }
        (talk, told)
    }
}

pub(super) fn parrots() -> Registry {
    Registry::new([("parrot".to_owned(), Arc::new(Parrot) as Arc<dyn Coder>)])
}

pub(super) async fn start(driver: &mut Driver<Memory>, name: &str, prompt: Option<&str>) {
    let start = Start { fresh: name.to_owned(), ..Start::default() };
    driver.start(&grant(), "parrot", &start, prompt, &Parrot.launch(&start, prompt)).await.unwrap();
}

pub(super) fn grant() -> Grant {
    decide_own(Act::Snapshot, types::WorkspaceName::new("w").unwrap())
}

impl Host for Memory {
    type Records = Reader;

    fn last(&self) -> u64 {
        self.state().records.len() as u64
    }

    fn records(&self) -> Reader {
        Reader { memory: self.clone(), next: 0, grown: self.grown.subscribe() }
    }

    async fn run(&self, _: &Grant, launch: &Launch, _: &[&str], note: Value) -> Result<u64, SandboxError> {
        tokio::task::yield_now().await;
        let run = self.state().runs + 1;
        self.record(What::Started { run, argv: launch.argv.clone(), note });
        tokio::task::yield_now().await;
        Ok(run)
    }

    fn write(&self, cause: Value, lines: Vec<String>) -> Order {
        let memory = self.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            let bytes = cause.to_string().len() + lines.iter().map(String::len).sum::<usize>();
            if bytes > LIMIT {
                return Err(SandboxError::TooLarge { bytes, limit: LIMIT });
            }
            if memory.state().refuses || !memory.is_running() {
                return Err(SandboxError::Gone);
            }
            memory.record(What::In { cause, lines });
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn end_program(&self) -> Order {
        let memory = self.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if !memory.state().undying {
                memory.end(None);
            }
            Ok(())
        })
    }
}

pub(super) struct Reader {
    memory: Memory,
    next: usize,
    grown: watch::Receiver<u64>,
}

impl RecordSource for Reader {
    async fn next(&mut self) -> Option<Record> {
        loop {
            self.grown.borrow_and_update();
            let record = self.memory.state().records.get(self.next).cloned();
            if let Some(record) = record {
                self.next += 1;
                return Some(record);
            }
            self.grown.changed().await.ok()?;
        }
    }
}
