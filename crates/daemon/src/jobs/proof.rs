//! What follows once a coding agent says that it is done: the done condition, and the landing. Both look at the tree while
//! nothing of the coding agent runs.

use store::{Job, StoreError, Tx};
use types::{Event, JobEnd, JobState, RoundEnd};

use super::{
    OUR_OWN, limits,
    next::{self, Next},
    phases, prompts, report,
    seam::{Checked, JobTrouble, Landed},
    worker::Worker,
};

/// How often the done condition is run again because the tree changed after it held, and what is said then.
const MAX_RECHECKS: u32 = 2;
const RESTLESS: &str = "the files keep changing after the done condition has held, so nothing was committed; end whatever changes \
                        them, then resume the job";

impl Worker {
    pub(super) async fn check(&mut self) -> Result<(), StoreError> {
        if !self.rest().await? {
            return Ok(());
        }
        match self.shop.check(&self.job).await {
            Err(trouble) => self.trouble(trouble).await,
            Ok(checked) => self.checked(self.masked(checked)).await,
        }
    }

    pub(super) async fn land(&mut self) -> Result<(), StoreError> {
        if !self.rest().await? {
            return Ok(());
        }
        match self.landed().await? {
            Err(trouble) => self.trouble(trouble).await,
            Ok(landed) => {
                self.note(landed.notes);
                if landed.is_unchecked {
                    return self.check_again().await;
                }
                let has_commit = landed.commit.is_some() && landed.commit != self.job.memory.commit;
                self.job.memory.commit = landed.commit.or(self.job.memory.commit.take());
                self.job.memory.changes = landed.changes.or(self.job.memory.changes.take());
                match landed.withheld {
                    _ if phases::is_last(&self.job) => self.end_with(JobEnd::Done).await,
                    Some(why) => {
                        let error = format!("the work of a phase was not committed: {why}");
                        self.end_with(JobEnd::Failed { error }).await
                    }
                    None => self.next_phase(has_commit).await,
                }
            }
        }
    }

    /// Lands the work. The time in which a question of that waits for the owner is not the job's.
    async fn landed(&mut self) -> Result<Result<Landed, JobTrouble>, StoreError> {
        let (shop, job) = (self.shop.clone(), self.job.clone());
        let mut events = self.core.store.subscribe();
        let mut landing = shop.land(&job);
        loop {
            // One that was put before a restart waits already.
            let is_asked = self.open_questions()? > 0;
            if limits::wait_for_owner(&mut self.job.memory, is_asked, self.core.clock.now()) {
                self.save().await?;
            }
            let landed = loop {
                tokio::select! {
                    landed = &mut landing => break Some(landed),
                    event = events.recv() => if self.concerns(&event).is_some() { break None },
                }
            };
            if let Some(landed) = landed {
                // It is stored with what comes of the landing.
                limits::wait_for_owner(&mut self.job.memory, false, self.core.clock.now());
                return Ok(landed);
            }
        }
    }

    /// The tree is not what the done condition held for: somebody changed it since.
    async fn check_again(&mut self) -> Result<(), StoreError> {
        let memory = &mut self.job.memory;
        memory.rechecks = memory.rechecks.saturating_add(1);
        if memory.rechecks > MAX_RECHECKS {
            return self.end_with(JobEnd::Failed { error: RESTLESS.to_owned() }).await;
        }
        self.note(vec!["files had been changed after the done condition held, so it was run again".to_owned()]);
        self.move_to(JobState::Checking);
        self.save().await
    }

    /// The present phase is committed: the next one begins, with its number and its prompt stored together.
    async fn next_phase(&mut self, has_commit: bool) -> Result<(), StoreError> {
        let place = phases::place(&self.job).unwrap_or_default();
        let commit = self.job.memory.commit.as_deref().filter(|_| has_commit);
        self.note(vec![match commit {
            Some(commit) => format!("{place} is done: commit {}", report::short(commit)),
            None => format!("{place} is done: nothing changed"),
        }]);
        phases::go_on(&mut self.job);
        if let Some(limit) = self.limit(true)? {
            // The next phase is what a resume goes on with.
            self.job.memory.is_phase_untold = true;
            return self.end_with(JobEnd::Limit { limit }).await;
        }
        self.move_to(JobState::Working);
        let prompt = match phases::is_fresh(&self.job) {
            true => {
                self.begin_anew();
                if self.job.memory.coder == OUR_OWN {
                    // What it has counted belongs to what was before.
                    self.hand = None;
                }
                prompts::first(&self.job)
            }
            false => prompts::next_phase(&self.job),
        };
        self.prompt(prompt, |_, _| Ok(())).await
    }

    /// Stores how the job ends, and ends it.
    async fn end_with(&mut self, end: JobEnd) -> Result<(), StoreError> {
        self.job.memory.ending = Some(end.clone());
        self.save().await?;
        self.end(end).await
    }

    /// Ends the coding agent's program with all that it left running: nothing may change the tree while we look at it. After a
    /// restart it is taken up for that. What it said meanwhile is taken in. False where that failed; what follows is stored.
    async fn rest(&mut self) -> Result<bool, StoreError> {
        let Some(mut hand) = self.take_up().await? else { return Ok(false) };
        if let Err(trouble) = hand.clear_away().await {
            drop(hand);
            return self.trouble(trouble).await.map(|()| false);
        }
        self.absorb(&mut *hand).await?;
        self.hand = Some(hand);
        Ok(true)
    }

    fn masked(&self, checked: Checked) -> Checked {
        let redactor = self.core.vault.redactor();
        let mask = |text: &str| redactor.redact(text).into_owned();
        Checked { tail: mask(&checked.tail), signature: mask(&checked.signature), ..checked }
    }

    /// Takes in what the done condition said.
    async fn checked(&mut self, checked: Checked) -> Result<(), StoreError> {
        self.remember(&checked);
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
        let mut next = next::after_check(&self.job, &checked, self.has_words()?);
        if matches!(next, Next::Feedback | Next::Tell)
            && let Some(limit) = self.limit(true)?
        {
            next = Next::End(JobEnd::Limit { limit });
        }
        match next {
            Next::Feedback => {
                let tried = self.tried(Some(&(round, said, end)))?;
                let prompt = prompts::not_yet(&self.job, &checked, &tried);
                self.move_to(JobState::Working);
                self.prompt(prompt, record).await
            }
            Next::Tell => {
                self.move_to(JobState::Working);
                self.prompt(prompts::more(), record).await
            }
            Next::Land => {
                self.move_to(JobState::Landing);
                self.commit(record).await
            }
            Next::End(end) => {
                self.job.memory.ending = Some(end.clone());
                self.commit(record).await?;
                self.end(end).await
            }
            Next::Check | Next::GoOn | Next::Later(_) | Next::Anew => self.commit(record).await,
        }
    }

    /// What a check leaves in the job's memory.
    fn remember(&mut self, checked: &Checked) {
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
            let restored = checked.restored.join(", ");
            self.note(vec![format!("pinned files had been changed and were put back: {restored}")]);
        }
    }
}
