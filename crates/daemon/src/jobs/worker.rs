//! One job as a state machine. Each step is stored before the next begins, so the worker can be dropped anywhere and another
//! one goes on from the row; why that is enough is in decision 0007. Long work is asked of the [`Shop`]; what follows from it is
//! decided in `next`.
//!
//! | state | what is done in it | what may follow |
//! |---|---|---|
//! | `Queued` | its turn begins (`ending`) | `Preparing` |
//! | `Preparing` | the tree is made, the first prompt decided on | `Working` |
//! | `Working`, `Asking` | what is to be told is told (`telling`), then the coding agent is listened to (`round`) | itself with another prompt, `TakenOver`, `Checking`, `Landing` |
//! | `TakenOver` | the owner works (`takeover`) | `Working` |
//! | `Checking` | the done condition is run (`proof`) | `Working`, `Landing` |
//! | `Landing` | the work is committed, pushed, proposed (`proof`) | `Ended`, `Working` on the next phase, `Checking` again |
//! | `Ended` | nothing | `Queued`, by `resume` |
//!
//! From each one STOP leads to `Ended`, and so does `memory.ending`, once it is stored. A failure that may pass leaves the state
//! as it is and sets `retry_at`.

use std::{sync::Arc, time::Duration};

use coders::Permission;
use store::{Job, JobCursor, StoreError, Tx};
use types::{JobEnd, JobId, JobState, RoundEnd};

use super::{
    control::Control,
    ending::{self, note_late},
    limits, next, prompts,
    seam::{Hand, JobTrouble, Shop, TakenUp},
    takeover::Wish,
};
use crate::{core::Core, deliver};

/// A full disk or a failing one: how long to wait before another attempt.
const RETRY: Duration = Duration::from_secs(5);
/// How many rounds are looked at for a brief or a report.
pub(super) const MAX_ROUNDS: usize = 50;
/// The most notes of a job.
const MAX_NOTES: usize = 20;

/// What is done with a job, in view of faults of ours by which earlier workers of it broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// It is worked on.
    Work,
    /// It is ended, with all that belongs to that.
    End,
    /// Its end is stored, and nothing of it is touched: ending it broke off as well.
    GiveUp,
}

/// Works on a job until it is over.
pub(super) async fn work(core: Arc<Core>, shop: Arc<dyn Shop>, id: JobId, control: Arc<Control>, care: Care) -> JobId {
    loop {
        match attempt(&core, &shop, id, &control, care).await {
            Ok(()) => return id,
            Err(error) => tracing::error!(job = %id, %error, "the job stands still; trying again"),
        }
        if care == Care::GiveUp {
            tokio::time::sleep(RETRY).await;
        } else if control.stop.is_cancelled() {
            // Its end could not be stored, but nothing may run on.
            shop.close(id).await;
            tokio::time::sleep(RETRY).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = control.stop.cancelled() => {}
            }
        }
    }
}

async fn attempt(
    core: &Arc<Core>,
    shop: &Arc<dyn Shop>,
    id: JobId,
    control: &Arc<Control>,
    care: Care,
) -> Result<(), StoreError> {
    if care == Care::GiveUp {
        return ending::give_up(core, id).await;
    }
    let Some(job) = core.store.job(id)? else { return Ok(()) };
    let mut worker = Worker {
        core: core.clone(),
        shop: shop.clone(),
        job,
        control: control.clone(),
        hand: None,
        text: String::new(),
        wish: None,
        is_lost: false,
    };
    if care == Care::End {
        worker.end(JobEnd::Failed { error: ending::FAULT.to_owned() }).await?;
    }
    worker.run().await
}

/// Keeps a note of a job, unless it is known or there are too many.
pub(super) fn keep_note(job: &mut Job, note: String) {
    let kept = &mut job.memory.notes;
    if kept.len() < MAX_NOTES && !kept.contains(&note) {
        kept.push(note);
    }
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
    /// What it is saying and was not shown yet, because a secret may have begun in it.
    pub text: String,
    /// The owner, who waits for the coding agent's place.
    pub wish: Option<Wish>,
    /// Whether a supervisor was lost with a turn, of which nothing was heard since.
    pub is_lost: bool,
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
        let notes = self.shop.close(self.job.id).await;
        note_late(&self.core, self.job.id, notes).await?;
        match self.job.turn {
            Some(turn) => deliver::turn(&self.core, turn).await,
            None => Ok(()),
        }
    }

    async fn step(&mut self) -> Result<(), StoreError> {
        if let Some(at) = self.job.memory.retry_at {
            tokio::time::sleep(at.since(self.core.clock.now())).await;
            (self.job.memory.retry_at, self.job.memory.paused_at) = (None, None);
        }
        match (self.job.state.clone(), self.job.memory.ending.clone()) {
            (JobState::Working | JobState::Asking, _) => self.round().await,
            // It was decided on, and then the daemon died.
            (_, Some(end)) => self.end(end).await,
            (JobState::Queued, None) => self.begin().await,
            (JobState::Preparing, None) => self.prepare().await,
            (JobState::TakenOver, None) => self.taken_over().await,
            (JobState::Checking, None) => self.check().await,
            (JobState::Landing, None) => self.land().await,
            (JobState::Ended { .. }, None) => Ok(()),
        }
    }

    async fn prepare(&mut self) -> Result<(), StoreError> {
        match self.shop.prepare(&self.job).await {
            Err(trouble) => self.trouble(trouble).await,
            Ok(prepared) => {
                self.note(prepared.notes);
                self.job.memory.troubles = 0;
                self.move_to(JobState::Working);
                if self.job.memory.order.is_some() {
                    // A job that was resumed has its prompt already.
                    return self.save().await;
                }
                let prompt = prompts::first(&self.job);
                self.prompt(prompt, |_, _| Ok(())).await
            }
        }
    }

    /// The job is in another state from now on, once that is stored.
    pub fn move_to(&mut self, state: JobState) {
        if self.job.state == state {
            return;
        }
        let now = self.core.clock.now();
        let memory = &mut self.job.memory;
        if limits::is_with_owner(&self.job.state) {
            let waited = u64::try_from(now.since(memory.moved_at).as_millis()).unwrap_or(u64::MAX);
            memory.waited_ms = memory.waited_ms.saturating_add(waited);
        }
        memory.moved_at = now;
        self.job.state = state;
    }

    /// Takes up the coding agent, if that was not done yet. None where that failed; what follows is stored.
    pub async fn take_up(&mut self) -> Result<Option<Box<dyn Hand>>, StoreError> {
        if let Some(hand) = self.hand.take() {
            return Ok(Some(hand));
        }
        match self.shop.open(&self.job).await {
            Ok(hand) => {
                if let Some(place) = hand.taken_up() {
                    self.go_on_from(place, hand.pending()).await?;
                }
                Ok(Some(hand))
            }
            Err(trouble) => self.trouble(trouble).await.map(|()| None),
        }
    }

    /// Where the job's place is none of the records, stores the one from which they are taken up, before anything else is done:
    /// so nothing is heard or told twice.
    async fn go_on_from(&mut self, place: TakenUp, pending: Vec<Permission>) -> Result<(), StoreError> {
        let TakenUp { record, item, at, note } = place;
        for (permission, record) in std::mem::take(&mut self.job.memory.asked) {
            self.shop.withdraw(&self.job, &permission, record).await;
        }
        self.note(vec![note]);
        self.job.cursor = JobCursor { record, item };
        let memory = &mut self.job.memory;
        (memory.records, memory.record_at) = (memory.records.saturating_add(1), at);
        // What it waits for was asked before that place.
        memory.asked = pending.into_iter().map(|permission| (permission.id, record)).collect();
        self.save().await
    }

    /// Something of ours failed: it is tried again after a while, or the job ends.
    pub async fn trouble(&mut self, trouble: JobTrouble) -> Result<(), StoreError> {
        if let Some(end) = self.job.memory.ending.clone() {
            // It was decided how the job ends, and nothing more is needed for that.
            return self.end(end).await;
        }
        let error = self.core.vault.redactor().redact(&trouble.error).into_owned();
        let memory = &mut self.job.memory;
        memory.last_error = Some(error.clone());
        memory.troubles = memory.troubles.saturating_add(1);
        self.hand = None;
        if !trouble.may_pass || memory.troubles > next::MAX_TROUBLES {
            return self.end(JobEnd::Failed { error }).await;
        }
        let pause = next::pause(memory.troubles);
        self.pause(pause);
        self.save().await
    }

    /// Nothing is done for a while, once that is stored.
    pub fn pause(&mut self, pause: Duration) {
        let now = self.core.clock.now();
        (self.job.memory.retry_at, self.job.memory.paused_at) = (Some(now.plus(pause)), Some(now));
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
            keep_note(&mut self.job, redactor.redact(&note).into_owned());
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
}
