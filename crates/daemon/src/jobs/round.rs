//! While the coding agent works: its events, the owner's words, permissions, limits. Each event is stored together with the
//! place that it has in the records, so that it counts once however often the daemon dies.

use std::time::{Duration, Instant};

use coders::{CoderCommand, CoderEnd, CoderEvent, Permission, Trouble, Verdict};
use futures_util::{StreamExt, stream::FuturesUnordered};
use store::StoreError;
use tokio::sync::broadcast::error::RecvError;
use types::{BoxFuture, CoderWord, Envelope, Event, JobEnd, JobState, RoundEnd};

use super::{
    next::{self, Next},
    prompts, report,
    seam::{Hand, JobTrouble, NotTold, Said},
    stored::Stored,
    take,
    takeover::Wish,
    worker::{Worker, order},
};

/// How long an interrupted coding agent may take to end its turn before it is killed.
const TO_END: Duration = Duration::from_secs(10);
/// How often the time is looked at: the limit in minutes, reports by minutes, a turn that was lost.
const LOOK: Duration = Duration::from_secs(5);
/// How often in a row it may be found idle, with nothing said of the end of its turn.
const MAX_IDLE: u32 = 2;
/// The most words of the owner that wait for the next prompt.
const MAX_WORDS: usize = 20;

/// Verdicts that are being found: the permission and its answer.
type Judging = FuturesUnordered<BoxFuture<'static, (String, Verdict)>>;

/// Why the loop cannot go on.
enum Broken {
    Store(StoreError),
    Trouble(JobTrouble),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<JobTrouble> for Broken {
    fn from(trouble: JobTrouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What woke the loop.
enum Woken {
    Said(Option<Said>),
    Judged(String, Verdict),
    OwnersWords,
    /// The owner wants the coding agent's place.
    Wished(Wish),
    Asked,
    Time,
}

/// What the loop keeps in mind while it listens.
#[derive(Default)]
struct Listening {
    judging: Judging,
    /// Since when the turn is to end.
    ending: Option<Instant>,
    /// How often in a row it was found idle.
    idle: u32,
}

impl Worker {
    /// Works until the turn of the coding agent is over, or until its supervisor is gone.
    pub(super) async fn round(&mut self) -> Result<(), StoreError> {
        let mut hand = match self.hand.take() {
            Some(hand) => hand,
            None => match self.shop.open(&self.job).await {
                Ok(hand) => hand,
                Err(trouble) => return self.trouble(trouble).await,
            },
        };
        let done = match self.give_order(&mut *hand).await {
            Ok(()) => self.listen(&mut *hand).await,
            Err(broken) => Err(broken),
        };
        match (done, self.leaving.take()) {
            (Ok(()), None) => {
                self.hand = Some(hand);
                Ok(())
            }
            (Ok(()), Some(end)) => {
                // Whoever ends its supervisor must be the only one who holds it.
                drop(hand);
                self.end(end).await
            }
            (Err(Broken::Store(error)), _) => Err(error),
            (Err(Broken::Trouble(trouble)), _) => {
                drop(hand);
                self.trouble(trouble).await
            }
        }
    }

    /// Tells the coding agent what it is to be told, unless its records show that it was.
    async fn give_order(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        let Some(mut order) = self.job.memory.order.clone() else { return Ok(()) };
        let before = match order.before {
            Some(before) => before,
            None => {
                let before = hand.commands();
                order.before = Some(before);
                self.job.memory.order = Some(order.clone());
                self.save().await?;
                before
            }
        };
        if hand.commands() <= before {
            let command: CoderCommand = serde_json::from_value(order.command)
                .map_err(|error| JobTrouble::lasting(format!("what it is to be told cannot be read: {error}")))?;
            let words = match &command {
                CoderCommand::Prompt { text } | CoderCommand::Steer { text } => Some(text.clone()),
                CoderCommand::Interrupt | CoderCommand::Answer { .. } | CoderCommand::Close => None,
            };
            match hand.command(&self.job, command).await {
                Ok(()) => {}
                Err(NotTold::Trouble(trouble)) => return Err(trouble.into()),
                Err(NotTold::Unsupported(why)) => self.keep_words(words.clone(), &why),
            }
            self.record_told(words).await?;
        }
        // That it was told stands in its records; here it is forgotten with whatever is stored next.
        self.job.memory.order = None;
        Ok(())
    }

    /// Shows in the job's log what the coding agent was told.
    async fn record_told(&mut self, words: Option<String>) -> Result<(), StoreError> {
        let Some(words) = words else { return Ok(()) };
        let words = self.core.vault.redactor().redact(&words).into_owned();
        let text = report::bounded(CoderWord::Told, &words);
        let event = Event::CoderSaid { job: self.job.id, kind: CoderWord::Told, text };
        self.job.memory.order = None;
        self.store(Stored { events: vec![event], ..Stored::default() }).await
    }

    /// Words that cannot be told now go with the next prompt.
    fn keep_words(&mut self, words: Option<String>, why: &str) {
        tracing::debug!(job = %self.job.id, why, "the owner's words wait for the next prompt");
        let kept = &mut self.job.memory.words;
        if kept.len() < MAX_WORDS {
            kept.extend(words);
        }
    }

    /// Takes in what happens until the turn is over.
    async fn listen(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        let mut listening = Listening::default();
        for permission in hand.pending() {
            // One that is not remembered yet comes as an event.
            if let Some(record) = self.job.memory.asked.get(&permission.id).copied() {
                listening.judging.push(self.judge(permission, record));
            }
        }
        let control = self.control.clone();
        let mut events = self.core.store.subscribe();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Words that came before this listened.
        control.said.notify_one();
        self.show_state().await?;
        loop {
            let woken = tokio::select! {
                said = hand.next() => Woken::Said(said),
                Some((id, verdict)) = listening.judging.next(), if !listening.judging.is_empty() => Woken::Judged(id, verdict),
                () = control.said.notified() => Woken::OwnersWords,
                () = control.sat.notified() => match control.wish() {
                    Some(wish) => Woken::Wished(wish),
                    None => continue,
                },
                event = events.recv() => if self.concerns(&event) { Woken::Asked } else { continue },
                _ = looks.tick() => Woken::Time,
            };
            let over = match woken {
                Woken::Said(None) => {
                    return Err(JobTrouble::passing("the supervisor of the job ended by itself").into());
                }
                Woken::Said(Some(said)) => self.said(hand, said, &mut listening).await?,
                Woken::Judged(permission, verdict) => {
                    self.answer(hand, permission, verdict).await?;
                    self.show_state().await?;
                    false
                }
                Woken::OwnersWords => {
                    self.steer(hand).await?;
                    false
                }
                Woken::Wished(wish) => self.give_way(wish).await?,
                Woken::Asked => {
                    self.show_state().await?;
                    false
                }
                Woken::Time => self.on_time(hand, &mut listening).await?,
            };
            if over {
                return Ok(());
            }
        }
    }

    fn judge(&self, permission: Permission, record: u64) -> BoxFuture<'static, (String, Verdict)> {
        let (shop, job) = (self.shop.clone(), self.job.clone());
        Box::pin(async move {
            let verdict = shop.judge(&job, &permission, record).await;
            (permission.id, verdict)
        })
    }

    async fn answer(&mut self, hand: &mut dyn Hand, permission: String, verdict: Verdict) -> Result<(), Broken> {
        self.job.memory.asked.remove(&permission);
        // One that was withdrawn in the meantime needs no answer.
        if !hand.pending().iter().any(|asked| asked.id == permission) {
            return Ok(());
        }
        match hand.command(&self.job, CoderCommand::Answer { permission, verdict }).await {
            Ok(()) => Ok(()),
            Err(NotTold::Trouble(trouble)) => Err(trouble.into()),
            Err(NotTold::Unsupported(why)) => Err(JobTrouble::lasting(why).into()),
        }
    }

    fn concerns(&self, event: &Result<Envelope, RecvError>) -> bool {
        match event {
            Ok(envelope) => {
                envelope.session == Some(self.job.session)
                    && matches!(envelope.event, Event::OwnerAsked { .. } | Event::OwnerAnswered { .. })
            }
            // Anything may have been missed.
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => false,
        }
    }

    /// Whether it works or waits for the owner, as clients see it.
    async fn show_state(&mut self) -> Result<(), StoreError> {
        let open = self.core.store.open_requests()?;
        let asks = open.iter().any(|request| Some(request.turn) == self.job.turn);
        let state = if asks { JobState::Asking } else { JobState::Working };
        if self.job.state == state {
            return Ok(());
        }
        self.job.state = state;
        self.save().await
    }

    /// Takes in one event; true when the turn is over.
    async fn said(&mut self, hand: &mut dyn Hand, said: Said, listening: &mut Listening) -> Result<bool, Broken> {
        self.job.cursor = store::JobCursor { record: said.record, item: said.item };
        listening.idle = 0;
        let redactor = self.core.vault.redactor();
        if let CoderEvent::TextDelta { text } = &said.event {
            self.text.push_str(text);
            let shown: String = self.text.drain(..redactor.settled(&self.text)).collect();
            let text = redactor.redact(&shown).into_owned();
            let event = Event::CoderDelta { job: self.job.id, text };
            self.core.store.publish(Some(self.job.session), self.job.turn, event);
            return Ok(false);
        }
        self.text.clear();
        let taken = take::take(&mut self.job, &said.event, &redactor);
        if let Some(id) = &taken.withdrawn
            && let Some(record) = self.job.memory.asked.remove(id)
        {
            self.shop.withdraw(&self.job, id, record).await;
        }
        if let Some(permission) = taken.asked
            && hand.pending().contains(&permission)
        {
            self.job.memory.asked.insert(permission.id.clone(), said.record);
            listening.judging.push(self.judge(permission, said.record));
        }
        let used = taken.used.filter(|_| !hand.is_our_own());
        let stored = Stored { events: taken.events, used, ..Stored::default() };
        if let Some(end) = taken.finished {
            self.finished(end, stored).await?;
            return Ok(true);
        }
        let stored = self.with_report(stored);
        self.store(stored).await?;
        let counts = matches!(said.event, CoderEvent::Spent(_) | CoderEvent::ToolFinished { .. });
        if counts {
            self.give_up_at_limit(hand, listening).await?;
        }
        Ok(false)
    }

    /// Interrupts the coding agent when a limit is reached; the job ends with its turn.
    async fn give_up_at_limit(&mut self, hand: &mut dyn Hand, listening: &mut Listening) -> Result<(), Broken> {
        if self.job.memory.ending.is_some() {
            return Ok(());
        }
        let Some(limit) = self.limit(false)? else { return Ok(()) };
        self.job.memory.ending = Some(JobEnd::Limit { limit });
        self.save().await?;
        listening.ending = Some(Instant::now());
        match hand.command(&self.job, CoderCommand::Interrupt).await {
            Ok(()) => Ok(()),
            // It is killed when its time is over.
            Err(error) => {
                tracing::debug!(job = %self.job.id, %error, "the coding agent cannot be interrupted");
                Ok(())
            }
        }
    }

    /// What time alone brings; true when the job is over.
    async fn on_time(&mut self, hand: &mut dyn Hand, listening: &mut Listening) -> Result<bool, Broken> {
        self.give_up_at_limit(hand, listening).await?;
        if let Some(ending) = self.job.memory.ending.clone() {
            let since = *listening.ending.get_or_insert_with(Instant::now);
            if since.elapsed() >= TO_END || !hand.is_busy() {
                self.leaving = Some(ending);
                return Ok(true);
            }
            return Ok(false);
        }
        let stored = self.with_report(Stored::default());
        if !stored.is_empty() {
            self.store(stored).await?;
        }
        listening.idle = if hand.is_busy() { 0 } else { listening.idle + 1 };
        if listening.idle <= MAX_IDLE {
            return Ok(false);
        }
        // The turn was lost together with the supervisor that had it.
        let message = "its turn was cut off".to_owned();
        self.job.memory.last_error = Some(message.clone());
        self.finished(CoderEnd::Failed { trouble: Trouble::Crashed, message }, Stored::default()).await?;
        Ok(true)
    }

    /// Gives the coding agent what the owner said.
    async fn steer(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        if hand.is_our_own() {
            return Ok(());
        }
        for row in self.core.store.waiting_inbox(self.job.session)? {
            let Some(turn) = self.job.turn else { return Ok(()) };
            let mut told = order(&CoderCommand::Steer { text: row.text });
            told.before = Some(hand.commands());
            self.job.memory.order = Some(told);
            let inbox = row.id;
            self.commit(move |tx, _| tx.take_inbox(turn, inbox)).await?;
            self.give_order(hand).await?;
        }
        Ok(())
    }

    /// The turn of the coding agent is over: what follows is stored together with it.
    async fn finished(&mut self, end: CoderEnd, mut stored: Stored) -> Result<(), StoreError> {
        for (permission, record) in std::mem::take(&mut self.job.memory.asked) {
            self.shop.withdraw(&self.job, &permission, record).await;
        }
        let memory = &mut self.job.memory;
        memory.rounds = memory.rounds.saturating_add(1);
        let (round, said) = (memory.rounds, memory.said.clone());
        let round_end = match &end {
            CoderEnd::Done { .. } => RoundEnd::Done,
            CoderEnd::Interrupted => RoundEnd::Interrupted,
            CoderEnd::Failed { message, .. } => {
                memory.troubles = memory.troubles.saturating_add(1);
                RoundEnd::Failed { error: message.clone() }
            }
        };
        if matches!(end, CoderEnd::Done { .. }) {
            memory.troubles = 0;
        }
        stored.round = Some((round, said, round_end));
        let next = next::after_turn(&self.job, &end);
        let limit = match &next {
            Next::GoOn | Next::Later(_) | Next::Anew => self.limit(true)?,
            Next::Check | Next::Land | Next::End(_) | Next::Feedback => None,
        };
        if let Some(limit) = limit {
            self.store(stored).await?;
            self.leaving = Some(JobEnd::Limit { limit });
            return Ok(());
        }
        match next {
            Next::Check => {
                self.job.state = JobState::Checking;
                self.store(stored).await
            }
            Next::Land => {
                self.job.state = JobState::Landing;
                self.store(stored).await
            }
            Next::End(end) => {
                self.store(stored).await?;
                self.leaving = Some(end);
                Ok(())
            }
            Next::GoOn | Next::Feedback => self.prompt(prompts::go_on(&self.job), stored.write()).await,
            Next::Later(pause) => {
                self.job.memory.retry_at = Some(self.core.clock.now().plus(pause));
                self.prompt(prompts::go_on(&self.job), stored.write()).await
            }
            Next::Anew => {
                self.begin_anew();
                let tried = self.tried(stored.round.as_ref())?;
                self.prompt(prompts::hand_over(&self.job, &tried, None), stored.write()).await
            }
        }
    }

    async fn store(&mut self, stored: Stored) -> Result<(), StoreError> {
        self.commit(stored.write()).await
    }
}
