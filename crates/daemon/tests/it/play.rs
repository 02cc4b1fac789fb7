//! A play of what jobs have done for them: a coding agent that follows a script and outlives the daemon, checks and landings
//! that say what the test says.

mod stage;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use coders::{CoderCommand, CoderEnd, CoderEvent, Permission, Totals, Trouble, Verdict};
use daemon::jobs::{Checked, Hand, JobTrouble, NotTold, Said, TakenUp};
use store::Job;
use tokio::sync::Notify;
use types::{BoxFuture, JobId, MicroUsd, Usage};

pub use stage::Stage;

/// What a coding agent does when it is told something, by the number of the prompt.
pub type Brain = Box<dyn Fn(usize, &str) -> Vec<CoderEvent> + Send + Sync>;
type Checker = Box<dyn Fn(usize) -> Checked + Send + Sync>;

/// The records of one job: they outlive daemons.
#[derive(Default)]
pub struct Records {
    /// When they were begun.
    pub begun: i64,
    /// Each event is a record of its own.
    pub events: Vec<CoderEvent>,
    pub commands: Vec<CoderCommand>,
    pub busy: bool,
    pending: Vec<Permission>,
    /// What follows once the pending permission is answered.
    held: Vec<CoderEvent>,
    pub closed: usize,
    /// How often a daemon took them up.
    pub opened: usize,
    /// Whether the last command had no effect, and whether words in between never have one.
    refused: bool,
    pub is_deaf: bool,
    /// Whether the owner sits at the terminal; none before they did.
    pub sits: Option<bool>,
    pub seats: usize,
    /// Whether the supervisor is gone, with the program and its turn.
    pub is_gone: bool,
}

/// The play.
pub struct Play {
    brain: Brain,
    checker: Checker,
    pub records: Mutex<BTreeMap<JobId, Records>>,
    pub changed: Arc<Notify>,
    pub checks: Mutex<usize>,
    pub landings: Mutex<usize>,
    /// How often the tree was changed between the check and the landing.
    pub changed_since: Mutex<usize>,
    pub withdrawn: Mutex<Vec<String>>,
    pub cleared: Mutex<Vec<JobId>>,
    pub verdict: Mutex<Option<Verdict>>,
    /// What checks and landings wait for; they go on when it is false.
    pub holds: Mutex<bool>,
    /// The same for closing.
    pub holds_close: Mutex<bool>,
    /// What is found as a job's sandboxes are closed.
    pub found_at_close: Mutex<Vec<String>>,
    /// How many prompts are refused before one is taken.
    pub refusals: Mutex<usize>,
    /// The job whose preparing and closing breaks off by a fault of ours.
    pub faulty: Mutex<Option<JobId>>,
    /// How many permissions are being judged, and the most that ever were at the same time.
    pub judged: Mutex<(usize, usize)>,
    moments: Mutex<Moments>,
}

/// The moments before and after each effect of a job, for tests that let the daemon die at one of them.
#[derive(Default)]
struct Moments {
    passed: usize,
    /// Everything stands still from this one on.
    dies_at: Option<usize>,
    is_dead: bool,
}

impl Play {
    /// Lets jobs stand still from this moment on, counted from 1; none undoes it.
    pub fn die_at(&self, moment: Option<usize>) {
        *self.moments.lock().unwrap() = Moments { dies_at: moment, ..Moments::default() };
    }

    /// How many moments have passed, and whether jobs stand still.
    pub fn moments(&self) -> (usize, bool) {
        let moments = self.moments.lock().unwrap();
        (moments.passed, moments.is_dead)
    }

    async fn moment(&self) {
        let is_dead = {
            let mut moments = self.moments.lock().unwrap();
            moments.passed += 1;
            moments.is_dead |= moments.dies_at.is_some_and(|at| moments.passed >= at);
            moments.is_dead
        };
        if is_dead {
            std::future::pending::<()>().await;
        }
    }

    /// Waits as long as checks and landings are held.
    async fn held(&self) {
        while *self.holds.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn new(
        brain: impl Fn(usize, &str) -> Vec<CoderEvent> + Send + Sync + 'static,
        checker: impl Fn(usize) -> Checked + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            brain: Box::new(brain),
            checker: Box::new(checker),
            records: Mutex::default(),
            changed: Arc::default(),
            checks: Mutex::default(),
            landings: Mutex::default(),
            changed_since: Mutex::default(),
            withdrawn: Mutex::default(),
            cleared: Mutex::default(),
            verdict: Mutex::new(Some(Verdict::Allow)),
            holds: Mutex::default(),
            holds_close: Mutex::default(),
            found_at_close: Mutex::default(),
            refusals: Mutex::default(),
            faulty: Mutex::default(),
            judged: Mutex::default(),
            moments: Mutex::default(),
        })
    }

    /// The prompts that a job's coding agent was given.
    pub fn prompts(&self, job: JobId) -> Vec<String> {
        let records = self.records.lock().unwrap();
        let commands = records.get(&job).map(|records| records.commands.clone()).unwrap_or_default();
        commands
            .into_iter()
            .filter_map(|command| match command {
                CoderCommand::Prompt { text } => Some(text),
                _ => None,
            })
            .collect()
    }

    /// Waits until the records tell something.
    async fn once<T>(&self, told: impl Fn(&BTreeMap<JobId, Records>) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(told) = told(&self.records.lock().unwrap()) {
                return told;
            }
            changed.await;
        }
    }

    /// What a job's coding agent waits for.
    pub fn pending(&self, job: JobId) -> Vec<Permission> {
        self.records.lock().unwrap().get(&job).map(|records| records.pending.clone()).unwrap_or_default()
    }

    /// The coding agent does something by itself.
    pub fn does(&self, job: JobId, events: impl IntoIterator<Item = CoderEvent>) {
        {
            let mut records = self.records.lock().unwrap();
            let records = records.entry(job).or_default();
            events.into_iter().for_each(|event| records.does(event));
        }
        self.changed.notify_waiters();
    }

    /// The supervisor dies, with all that runs under it.
    pub fn loses_supervisor(&self, job: JobId) {
        self.records.lock().unwrap().entry(job).or_default().is_gone = true;
        self.changed.notify_waiters();
    }

    fn breaks_off(&self, job: JobId) {
        assert!(*self.faulty.lock().unwrap() != Some(job), "a fault that the test wants");
    }

    /// The program is ended. One whose turn is over ends without a word.
    fn ends_program(&self, job: JobId) {
        {
            let mut all = self.records.lock().unwrap();
            let Some(records) = all.get_mut(&job).filter(|records| records.busy) else { return };
            records.pending.clear();
            records.held.clear();
            let (trouble, message) = (Trouble::Crashed, "its program was ended".to_owned());
            // What the last request has cost comes with its end.
            let last =
                [spent(records.spent() + 7), CoderEvent::Finished { end: CoderEnd::Failed { trouble, message } }];
            last.into_iter().for_each(|event| records.does(event));
        }
        self.changed.notify_waiters();
    }

    /// The owner ends the program at the terminal.
    pub fn stands_up(&self, job: JobId) {
        self.records.lock().unwrap().entry(job).or_default().sits = Some(false);
        self.changed.notify_waiters();
    }

    fn told(&self, job: JobId, command: CoderCommand) -> Result<(), NotTold> {
        let mut all = self.records.lock().unwrap();
        let records = all.entry(job).or_default();
        records.commands.push(command.clone());
        records.refused = matches!(command, CoderCommand::Steer { .. }) && (records.is_deaf || !records.busy);
        if matches!(command, CoderCommand::Prompt { .. }) {
            let mut refusals = self.refusals.lock().unwrap();
            records.refused = *refusals > 0;
            *refusals = refusals.saturating_sub(1);
        }
        if records.refused {
            return Err(NotTold::Unsupported("it cannot be told anything while it works".to_owned()));
        }
        let number = records.commands.iter().filter(|one| matches!(one, CoderCommand::Prompt { .. })).count();
        let events = match command {
            CoderCommand::Prompt { text } => {
                (records.busy, records.sits) = (true, None);
                (self.brain)(number, &text)
            }
            // What the interrupted request has cost is told last.
            CoderCommand::Interrupt if records.busy => {
                vec![CoderEvent::Finished { end: CoderEnd::Interrupted }, spent(records.spent() + 5)]
            }
            CoderCommand::Answer { permission, .. } => {
                records.pending.retain(|asked| asked.id != permission);
                std::mem::take(&mut records.held)
            }
            CoderCommand::Steer { .. } | CoderCommand::Interrupt | CoderCommand::Close => Vec::new(),
        };
        let mut events = events.into_iter();
        for event in events.by_ref() {
            let asks = matches!(event, CoderEvent::PermissionAsked(_));
            records.does(event);
            if asks {
                break;
            }
        }
        records.held = events.collect();
        drop(all);
        self.changed.notify_waiters();
        Ok(())
    }
}

impl Records {
    /// What the conversation has cost by now.
    fn spent(&self) -> u64 {
        let mut costs = self.events.iter().filter_map(|event| match event {
            CoderEvent::Spent(totals) => totals.cost,
            _ => None,
        });
        costs.next_back().map_or(0, |cost| cost.0)
    }

    fn does(&mut self, event: CoderEvent) {
        match &event {
            CoderEvent::Finished { .. } => self.busy = false,
            CoderEvent::PermissionAsked(permission) => self.pending.push(permission.clone()),
            _ => {}
        }
        self.events.push(event);
    }
}

/// The coding agent of one job.
struct Player {
    play: Arc<Play>,
    job: JobId,
    read: usize,
    /// When the records were begun.
    at: i64,
    taken_up: Option<TakenUp>,
}

impl Hand for Player {
    fn next(&mut self) -> BoxFuture<'_, Option<Said>> {
        Box::pin(async move {
            let (job, read) = (self.job, self.read);
            let event = self.play.once(|records| {
                let records = records.get(&job)?;
                let event = records.events.get(read).cloned();
                (event.is_some() || records.is_gone).then_some(event)
            });
            let event = event.await?;
            self.read += 1;
            Some(Said { record: self.read as u64, item: 0, at: self.at, event })
        })
    }

    fn taken_up(&self) -> Option<TakenUp> {
        self.taken_up.clone()
    }

    fn commands(&self) -> u64 {
        self.play.records.lock().unwrap().get(&self.job).map_or(0, |records| records.commands.len() as u64)
    }

    fn is_refused(&self) -> bool {
        self.play.records.lock().unwrap().get(&self.job).is_some_and(|records| records.refused)
    }

    fn is_busy(&self) -> bool {
        self.play.records.lock().unwrap().get(&self.job).is_some_and(|records| records.busy)
    }

    fn pending(&self) -> Vec<Permission> {
        self.play.pending(self.job)
    }

    fn command<'a>(&'a mut self, job: &'a Job, command: CoderCommand) -> BoxFuture<'a, Result<(), NotTold>> {
        Box::pin(async move {
            self.play.moment().await;
            let told = self.play.told(job.id, command);
            self.play.moment().await;
            told
        })
    }

    fn unheard(&mut self) -> BoxFuture<'_, Option<Said>> {
        Box::pin(async move {
            let records = self.play.records.lock().unwrap();
            let event = records.get(&self.job)?.events.get(self.read).cloned()?;
            self.read += 1;
            Some(Said { record: self.read as u64, item: 0, at: self.at, event })
        })
    }

    fn sit_down<'a>(&'a mut self, _job: &'a Job) -> BoxFuture<'a, Result<bool, NotTold>> {
        Box::pin(async move {
            let mut records = self.play.records.lock().unwrap();
            let records = records.entry(self.job).or_default();
            if let Some(sits) = records.sits {
                return Ok(sits);
            }
            if records.busy {
                records.pending.clear();
                let (trouble, message) = (Trouble::Crashed, "the owner takes over".to_owned());
                records.does(CoderEvent::Finished { end: CoderEnd::Failed { trouble, message } });
            }
            records.sits = Some(true);
            records.seats += 1;
            Ok(true)
        })
    }

    fn stood_up(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let job = self.job;
            self.play.once(|records| (records[&job].sits == Some(false)).then_some(true)).await
        })
    }

    fn stand_up(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            self.play.stands_up(self.job);
            Ok(())
        })
    }

    fn end_program(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            self.play.moment().await;
            self.play.ends_program(self.job);
            self.play.moment().await;
            Ok(())
        })
    }
}

/// One use of a tool.
pub fn tool(number: usize) -> [CoderEvent; 2] {
    let (id, tool, summary) = (number.to_string(), "Bash".to_owned(), format!("cargo test #{number}"));
    [
        CoderEvent::ToolStarted { id: id.clone(), tool, summary },
        CoderEvent::ToolFinished { id, ok: true, tail: "ok".to_owned() },
    ]
}

/// All that the conversation has used: so many millionths of a dollar and tokens.
pub fn spent(total: u64) -> CoderEvent {
    let usage = Usage { input: total, output: 1, ..Usage::default() };
    CoderEvent::Spent(Totals { usage, cost: Some(MicroUsd(total)) })
}

pub fn done(text: &str) -> CoderEvent {
    CoderEvent::Finished { end: CoderEnd::Done { text: text.to_owned() } }
}

pub fn passed() -> Checked {
    Checked { passed: true, tail: "all pass".to_owned(), ..Checked::default() }
}

pub fn failing(signature: &str) -> Checked {
    let (tail, signature) = (format!("{signature} failed"), signature.to_owned());
    Checked { passed: false, tail, signature, restored: Vec::new() }
}
