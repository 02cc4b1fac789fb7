//! Whatever happens in whatever order, and wherever the daemon is killed: every line is written once, every event is told once,
//! and the next daemon knows what this one knew.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use proptest::{collection::vec, prelude::*};

use sandbox::What;

use super::memory::{Memory, parrots, start};
use crate::{CoderCommand, Cursor, Driver, DriverError, Permission, Said, Verdict, driver::talk::Talk};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Says(&'static str),
    Ends,
    Starts,
    Commands(CoderCommand, u8),
    Listens(u8),
    Crashes,
}

fn step() -> impl Strategy<Value = Step> {
    let says = prop::sample::select(vec![
        "started c1",
        "say one",
        "say two",
        "ping",
        "ping",
        "ask p1",
        "ask p2",
        "withdraw p1",
        "tool t",
        "ran t",
        "retry it",
        "used 7",
        "used 9",
        "done",
        "aborted",
        "nonsense",
    ]);
    let text = prop::sample::select(vec!["a", "b"]);
    let command = prop_oneof![
        text.clone().prop_map(|text| CoderCommand::Prompt { text: text.to_owned() }),
        text.prop_map(|text| CoderCommand::Steer { text: text.to_owned() }),
        Just(CoderCommand::Interrupt),
        Just(CoderCommand::Close),
        prop::sample::select(vec!["p1", "p2"])
            .prop_map(|id| CoderCommand::Answer { permission: id.to_owned(), verdict: Verdict::Allow }),
    ];
    prop_oneof![
        8 => says.prop_map(Step::Says),
        1 => Just(Step::Ends),
        2 => Just(Step::Starts),
        4 => (command, 0..12_u8).prop_map(|(command, polls)| Step::Commands(command, polls)),
        6 => (0..6_u8).prop_map(Step::Listens),
        2 => Just(Step::Crashes),
    ]
}

/// Looks at a future so many times and drops it then: where a process is killed, or where a caller loses patience.
fn poll_some<F: Future>(future: F, polls: u8) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

struct World {
    memory: Memory,
    driver: Driver<Memory>,
    told: Vec<Said>,
    starts: usize,
}

impl World {
    async fn new() -> Self {
        let memory = Memory::new();
        let driver = memory.attach(Cursor::default()).await;
        Self { memory, driver, told: Vec::new(), starts: 0 }
    }

    fn hear(&mut self, polls: u8) {
        if let Some(said) = poll_some(self.driver.next(), polls) {
            self.told.extend(said.unwrap());
        }
    }

    async fn crash(&mut self) {
        let after = self.told.last().map_or(Cursor::default(), |said| said.cursor);
        self.driver = self.memory.attach(after).await;
        // It knows how things stand before it has told anything.
        let (talk, _) = self.memory.told();
        assert_eq!(asked(self.driver.permissions()), asked(talk.permissions()));
        assert_eq!((self.driver.phase(), self.driver.commands()), (talk.phase(), talk.commands()));
    }

    async fn go(&mut self, step: &Step) {
        match step {
            Step::Says(line) => self.memory.say(line),
            Step::Ends => self.memory.end(Some(0)),
            Step::Starts => {
                if !self.memory.is_running() {
                    self.starts += 1;
                    let (name, prompt) = (self.starts.to_string(), (self.starts % 2 == 1).then_some("begin"));
                    start(&mut self.driver, &name, prompt).await;
                }
            }
            Step::Commands(command, polls) => {
                let result = poll_some(self.driver.command(command.clone()), *polls);
                let closes = *command == CoderCommand::Close;
                match result {
                    None | Some(Ok(())) => {}
                    Some(Err(DriverError::NotRunning | DriverError::NotAsked(_) | DriverError::Idle)) => {}
                    Some(Err(DriverError::Unsupported(_))) if closes => {}
                    Some(Err(error)) => panic!("{command:?}: {error}"),
                }
            }
            Step::Listens(polls) => self.hear(*polls),
            Step::Crashes => self.crash().await,
        }
    }

    /// Listens until nothing is left to hear or to write.
    async fn finish(&mut self) {
        for _ in 0..500 {
            self.hear(4);
            // The runtime lets a task that never waits starve.
            tokio::task::yield_now().await;
        }
    }
}

fn asked<'a>(permissions: impl Iterator<Item = &'a Permission>) -> Vec<&'a str> {
    permissions.map(|asked| asked.id.as_str()).collect()
}

/// What one run of a program was to read, and what it read.
#[derive(Debug, Default)]
struct Written {
    wanted: Vec<String>,
    read: Vec<String>,
    over: bool,
}

/// Run by run: a reader who does not look at what was written collects all that its dialect wanted written.
fn written(memory: &Memory) -> Vec<Written> {
    let mut talk = Talk::new(parrots());
    let mut runs: Vec<Written> = Vec::new();
    for mut record in memory.records() {
        match &mut record.what {
            What::Started { .. } => runs.push(Written::default()),
            What::Ended { .. } => runs.last_mut().unwrap().over = true,
            What::In { lines, .. } => runs.last_mut().unwrap().read.append(lines),
            _ => {}
        }
        talk.take(&record);
        if talk.is_running() {
            runs.last_mut().unwrap().wanted = talk.owed().cloned().collect();
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_done_twice(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                world.go(step).await;
                tokio::task::yield_now().await;
            }
            world.finish().await;
            let (talk, told) = world.memory.told();
            // Every event once, with the same place and content as one reader of the whole file finds.
            prop_assert_eq!(&world.told, &told);
            // The same state.
            let driver = &world.driver;
            prop_assert_eq!(asked(driver.permissions()), asked(talk.permissions()));
            prop_assert_eq!(driver.is_busy(), talk.is_busy());
            prop_assert_eq!(driver.phase(), talk.phase());
            prop_assert_eq!(driver.conversation(), talk.session());
            prop_assert_eq!(driver.spent(), talk.spent());
            // Every line was written once and in order; what was left when a program ended is of no use to the next.
            for run in written(&world.memory) {
                let wanted = if run.over { &run.wanted[..run.read.len()] } else { &run.wanted[..] };
                prop_assert_eq!(&run.read[..], wanted);
            }
            Ok(())
        })?;
    }
}
