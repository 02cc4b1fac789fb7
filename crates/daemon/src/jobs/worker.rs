//! One job, from the queue to its end. Each step is stored before the next begins, so the worker can be dropped anywhere and
//! another one goes on from the row. Long work is asked of the [`Shop`]; what follows from it is decided in `next`.

use std::{sync::Arc, time::Duration};

use coders::CoderCommand;
use sha2::{Digest, Sha256};
use store::{Job, JobOrder, JobSince, JobUse, NewTurn, StoreError, Tx};
use types::{Event, JobEnd, JobId, JobState, Label, RoundEnd, TurnEnd};

use super::{
    control::Control,
    limits,
    next::{self, Next},
    prompts, report,
    seam::{Checked, Hand, JobTrouble, Shop},
    takeover::Wish,
};
use crate::{core::Core, deliver, unattended};

/// A full disk or a failing one: how long to wait before another attempt, and how often. An hour in all.
const RETRY: Duration = Duration::from_secs(5);
const MAX_RETRIES: u32 = 720;
/// How long the end of a job may take to count what it changed.
const COUNTING: Duration = Duration::from_secs(20);
/// How many rounds are looked at for a brief or a report.
pub(super) const MAX_ROUNDS: usize = 50;
/// The most notes of a job.
const MAX_NOTES: usize = 20;

/// Works on a job until it is over. With `panicked`, an earlier worker of it broke off by a fault of ours.
pub(super) async fn work(
    core: Arc<Core>,
    shop: Arc<dyn Shop>,
    id: JobId,
    control: Arc<Control>,
    panicked: bool,
) -> JobId {
    for _ in 0..MAX_RETRIES {
        match attempt(&core, &shop, id, &control, panicked).await {
            Ok(()) => return id,
            Err(error) => tracing::error!(job = %id, %error, "the job stands still; trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
    tracing::error!(job = %id, "the job is given up until the next start");
    id
}

async fn attempt(
    core: &Arc<Core>,
    shop: &Arc<dyn Shop>,
    id: JobId,
    control: &Arc<Control>,
    panicked: bool,
) -> Result<(), StoreError> {
    let Some(job) = core.store.job(id)? else { return Ok(()) };
    let mut worker = Worker {
        core: core.clone(),
        shop: shop.clone(),
        job,
        control: control.clone(),
        hand: None,
        leaving: None,
        text: String::new(),
        wish: None,
    };
    if panicked {
        let error = "a fault in factotum itself; please report it".to_owned();
        worker.end(JobEnd::Failed { error }).await?;
    }
    worker.run().await
}

/// The worker of one job.
pub(super) struct Worker {
    pub core: Arc<Core>,
    pub shop: Arc<dyn Shop>,
    /// As it is stored.
    pub job: Job,
    pub control: Arc<Control>,
    /// The coding agent, once it was taken up.
    pub hand: Option<Box<dyn Hand>>,
    /// How the job ends, once the coding agent is let go of.
    pub leaving: Option<JobEnd>,
    /// What it is saying and was not shown yet, because a secret may have begun in it.
    pub text: String,
    /// The owner, who waits for the coding agent's place.
    pub wish: Option<Wish>,
}

impl Worker {
    async fn run(&mut self) -> Result<(), StoreError> {
        let stop = self.control.stop.clone();
        while !matches!(self.job.state, JobState::Ended { .. }) {
            let stopped = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                done = self.step() => { done?; false }
            };
            if stopped {
                self.end(JobEnd::Stopped).await?;
            }
        }
        // What a crash left, such as a supervisor that lives on after the end was stored.
        self.hand = None;
        self.shop.close(self.job.id).await;
        match self.job.turn {
            Some(turn) => deliver::turn(&self.core, turn).await,
            None => Ok(()),
        }
    }

    async fn step(&mut self) -> Result<(), StoreError> {
        if let Some(at) = self.job.memory.retry_at {
            tokio::time::sleep(at.since(self.core.clock.now())).await;
            self.job.memory.retry_at = None;
        }
        match self.job.state {
            JobState::Queued => self.begin().await,
            JobState::Preparing => self.prepare().await,
            JobState::Working | JobState::Asking => self.round().await,
            JobState::TakenOver => self.taken_over().await,
            JobState::Checking => self.check().await,
            JobState::Landing => self.land().await,
            JobState::Ended { .. } => Ok(()),
        }
    }

    /// The job gets its place: its turn begins.
    async fn begin(&mut self) -> Result<(), StoreError> {
        if let Some(refusal) = unattended::refusal(&self.core, self.job.origin).await {
            return self.end(JobEnd::Failed { error: refusal }).await;
        }
        let now = self.core.clock.now();
        self.job.state = JobState::Preparing;
        self.job.started_at = Some(now);
        self.job.ended_at = None;
        let memory = &mut self.job.memory;
        let tokens = memory.used.usage.context().saturating_add(memory.used.usage.output);
        let (rounds, iterations, cost) = (memory.rounds, memory.iterations, memory.used.cost);
        memory.since = JobSince { rounds, iterations, tokens, cost, at: now };
        memory.told = memory.since;
        let mut job = self.job.clone();
        let begun = self.core.store.transact(move |tx| {
            job.turn = Some(begin_turn(tx, &job)?);
            let label = Label::UNKNOWN;
            tx.raise_label(job.session, label, "a coding agent works here, whose words and files are foreign text")?;
            tx.raise_workspace_label(&job.spec.workspace, label)?;
            tx.save_job(&job)?;
            Ok(job)
        });
        self.job = begun.await?;
        Ok(())
    }

    async fn prepare(&mut self) -> Result<(), StoreError> {
        match self.shop.prepare(&self.job).await {
            Err(trouble) => self.trouble(trouble).await,
            Ok(prepared) => {
                self.note(prepared.notes);
                self.job.memory.troubles = 0;
                self.job.state = JobState::Working;
                if self.job.memory.order.is_some() {
                    // A job that was resumed has its prompt already.
                    return self.save().await;
                }
                let prompt = prompts::first(&self.job);
                self.prompt(prompt, |_, _| Ok(())).await
            }
        }
    }

    async fn check(&mut self) -> Result<(), StoreError> {
        if let Err(trouble) = self.rest().await {
            return self.trouble(trouble).await;
        }
        match self.shop.check(&self.job).await {
            Err(trouble) => self.trouble(trouble).await,
            Ok(checked) => self.checked(self.masked(checked)).await,
        }
    }

    /// Ends the coding agent's program with all that it left running: nothing may change the tree while we look at it. After a
    /// restart it is taken up for that.
    async fn rest(&mut self) -> Result<(), JobTrouble> {
        if self.hand.is_none() {
            self.hand = Some(self.shop.open(&self.job).await?);
        }
        match &mut self.hand {
            Some(hand) if !hand.is_our_own() => hand.end_program().await,
            Some(_) | None => Ok(()),
        }
    }

    fn masked(&self, checked: Checked) -> Checked {
        let redactor = self.core.vault.redactor();
        let mask = |text: &str| redactor.redact(text).into_owned();
        Checked { tail: mask(&checked.tail), signature: mask(&checked.signature), ..checked }
    }

    /// Takes in what the done condition said.
    async fn checked(&mut self, checked: Checked) -> Result<(), StoreError> {
        let memory = &mut self.job.memory;
        memory.troubles = 0;
        memory.last_check = Some(checked.tail.clone());
        let is_same = memory.signature.as_deref() == Some(&checked.signature);
        memory.same = if checked.passed {
            0
        } else if is_same {
            memory.same.saturating_add(1)
        } else {
            1
        };
        memory.signature = (!checked.passed).then(|| checked.signature.clone());
        if !checked.restored.is_empty() {
            self.note(vec![format!(
                "pinned files had been changed and were put back: {}",
                checked.restored.join(", ")
            )]);
        }
        let round = self.job.memory.rounds;
        let end = match checked.passed {
            true => RoundEnd::Passed,
            false => RoundEnd::NotYet { signature: checked.signature.clone(), tail: checked.tail.clone() },
        };
        let event = Event::JobChecked { job: self.job.id, round, passed: checked.passed, tail: checked.tail.clone() };
        let said = self.job.memory.said.clone();
        let (kept_said, kept_end) = (said.clone(), end.clone());
        let record = move |tx: &mut Tx<'_>, job: &Job| {
            tx.end_round(job.id, round, &kept_said, &kept_end)?;
            tx.record(Some(job.session), job.turn, event).map(|_| ())
        };
        match next::after_check(&self.job, &checked) {
            Next::Feedback => {
                if let Some(limit) = self.limit(true)? {
                    self.commit(record).await?;
                    return self.end(JobEnd::Limit { limit }).await;
                }
                let tried = self.tried(Some(&(round, said, end)))?;
                let prompt = prompts::not_yet(&self.job, &checked, &tried);
                self.job.state = JobState::Working;
                self.prompt(prompt, record).await
            }
            Next::Land => {
                self.job.state = JobState::Landing;
                self.commit(record).await
            }
            Next::End(end) => {
                self.commit(record).await?;
                self.end(end).await
            }
            Next::Check | Next::GoOn | Next::Later(_) | Next::Anew => self.commit(record).await,
        }
    }

    async fn land(&mut self) -> Result<(), StoreError> {
        if let Err(trouble) = self.rest().await {
            return self.trouble(trouble).await;
        }
        match self.shop.land(&self.job).await {
            Err(trouble) => self.trouble(trouble).await,
            Ok(landed) => {
                self.note(landed.notes);
                self.job.memory.commit = landed.commit.or(self.job.memory.commit.take());
                self.job.memory.changes = landed.changes.or(self.job.memory.changes.take());
                self.save().await?;
                self.end(JobEnd::Done).await
            }
        }
    }

    /// Something of ours failed: it is tried again after a while, or the job ends.
    pub async fn trouble(&mut self, trouble: JobTrouble) -> Result<(), StoreError> {
        let error = self.core.vault.redactor().redact(&trouble.error).into_owned();
        let memory = &mut self.job.memory;
        memory.last_error = Some(error.clone());
        memory.troubles = memory.troubles.saturating_add(1);
        if !trouble.may_pass || memory.troubles > next::MAX_TROUBLES {
            return self.end(JobEnd::Failed { error }).await;
        }
        self.hand = None;
        let pause = next::pause(self.job.memory.troubles);
        self.job.memory.retry_at = Some(self.core.clock.now().plus(pause));
        self.save().await
    }

    /// Decides on another prompt, in one transaction with what led to it. It is given when the coding agent is taken up.
    pub async fn prompt(
        &mut self,
        text: String,
        before: impl FnOnce(&mut Tx<'_>, &Job) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let text = prompts::with_words(text, std::mem::take(&mut self.job.memory.words));
        if self.job.memory.fresh.is_empty() {
            self.job.memory.fresh = fresh();
        }
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        let round = self.job.memory.rounds.saturating_add(1);
        self.job.memory.order = Some(order(&CoderCommand::Prompt { text }));
        self.commit(move |tx, job| {
            before(tx, job)?;
            tx.begin_round(job.id, round, &job.memory.coder, &digest)
        })
        .await
    }

    /// What was tried, with what came of the present round, which is not stored yet.
    pub fn tried(&self, present: Option<&(u32, String, RoundEnd)>) -> Result<Vec<types::JobRound>, StoreError> {
        let mut tried = self.core.store.job_rounds(self.job.id, MAX_ROUNDS)?;
        if let Some((round, said, end)) = present
            && let Some(row) = tried.iter_mut().find(|row| row.round == *round)
        {
            (row.said, row.end) = (said.clone(), Some(end.clone()));
        }
        Ok(tried)
    }

    /// Forgets the conversation: the next prompt begins a new one.
    pub fn begin_anew(&mut self) {
        let memory = &mut self.job.memory;
        memory.conversation = None;
        memory.fresh = String::new();
        memory.counted = JobUse::default();
    }

    /// The limit that stands in the way of going on, or of another prompt.
    pub fn limit(&self, another_round: bool) -> Result<Option<String>, StoreError> {
        let now = self.core.clock.now();
        let day = self.core.store.spent(store::SpendScope::Day(now.day()))?.total();
        let month = self.core.store.spent(store::SpendScope::Month { year_month: store::year_month(now) })?.total();
        let budget = self.core.live().config.budget.limits();
        let limit = limits::reached(&self.job, &budget, limits::Spending { day, month }, now);
        Ok(limit.or_else(|| another_round.then(|| limits::before_round(&self.job)).flatten()))
    }

    pub fn note(&mut self, notes: Vec<String>) {
        let redactor = self.core.vault.redactor();
        for note in notes {
            let note = redactor.redact(&note).into_owned();
            let kept = &mut self.job.memory.notes;
            if kept.len() < MAX_NOTES && !kept.contains(&note) {
                kept.push(note);
            }
        }
    }

    /// Stores the job as it is here.
    pub async fn save(&mut self) -> Result<(), StoreError> {
        self.commit(|_, _| Ok(())).await
    }

    /// Stores the job together with what led to its state.
    pub async fn commit(
        &mut self,
        with: impl FnOnce(&mut Tx<'_>, &Job) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let job = self.job.clone();
        self.core
            .store
            .transact(move |tx| {
                with(tx, &job)?;
                tx.save_job(&job)
            })
            .await
    }

    /// Ends the job: kills what runs, and stores the end with its report. What a step that was dropped had stored counts.
    pub async fn end(&mut self, end: JobEnd) -> Result<(), StoreError> {
        self.hand = None;
        if end != JobEnd::Stopped && self.job.memory.changes.is_none() && self.job.started_at.is_some() {
            let counted = tokio::time::timeout(COUNTING, self.shop.changes(&self.job)).await;
            self.job.memory.changes = counted.ok().flatten();
        }
        let (id, here) = (self.job.id, self.job.memory.clone());
        let now = self.core.clock.now();
        let store = self.core.store.transact(move |tx| ended(tx, id, here, end, now));
        let (stored, ()) = tokio::join!(store, self.shop.close(id));
        if let Some(job) = stored? {
            self.job = job;
        }
        Ok(())
    }
}

/// Stores the end of a job, whatever its row holds by now.
fn ended(
    tx: &mut Tx<'_>,
    id: JobId,
    here: store::JobMemory,
    end: JobEnd,
    now: types::Timestamp,
) -> Result<Option<Job>, StoreError> {
    let Some(mut job) = tx.job(id)? else { return Ok(None) };
    if matches!(job.state, JobState::Ended { .. }) {
        return Ok(Some(job));
    }
    job.memory.changes = here.changes.or(job.memory.changes);
    job.memory.last_error = here.last_error.or(job.memory.last_error);
    job.memory.notes = here.notes;
    (job.memory.order, job.memory.ending, job.memory.retry_at) = (None, None, None);
    let turn = match job.turn {
        Some(turn) if job.started_at.is_some() => turn,
        // It never got a place; its owner hears of the end all the same.
        Some(_) | None => begin_turn(tx, &job)?,
    };
    job.turn = Some(turn);
    job.ended_at = Some(now);
    let tried = tx.job_rounds(id, MAX_ROUNDS)?;
    let took = job.started_at.map_or(Duration::ZERO, |begun| now.since(begun));
    let text = report::end(&job, &end, &tried, took);
    job.memory.report = Some(text.clone());
    job.state = JobState::Ended { end: end.clone() };
    tx.withdraw_requests(turn)?;
    tx.save_job(&job)?;
    tx.set_turn_step(turn, job.memory.bookings)?;
    tx.finish_turn(turn, turn_end(end), text)?;
    Ok(Some(job))
}

fn begin_turn(tx: &mut Tx<'_>, job: &Job) -> Result<types::TurnId, StoreError> {
    tx.begin_turn(NewTurn {
        session: job.session,
        origin: job.origin,
        model: format!("coder/{}", job.memory.coder),
        inbox: Vec::new(),
        reply_channel: job.reply_channel.clone(),
        reply_to: job.reply_to.clone(),
    })
}

/// A command that is to be told once, at whatever place in the records it comes.
pub(super) fn order(command: &CoderCommand) -> JobOrder {
    let command = serde_json::to_value(command).expect("a command has nothing but texts");
    JobOrder { before: None, command }
}

/// A random UUID (version 4), by which a new conversation may be called.
pub(super) fn fresh() -> String {
    let mut bytes = [0_u8; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Coding agents that get the same one twice refuse it, and the job tries again.
        tracing::error!(%error, "the system gives no random numbers");
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn turn_end(end: JobEnd) -> TurnEnd {
    match end {
        JobEnd::Done => TurnEnd::Done,
        JobEnd::Stopped => TurnEnd::Stopped,
        JobEnd::Limit { limit } => TurnEnd::Limit { limit },
        JobEnd::NoProgress { failure } => TurnEnd::Looping { repeated: failure },
        JobEnd::Failed { error } => TurnEnd::Failed { error },
    }
}
