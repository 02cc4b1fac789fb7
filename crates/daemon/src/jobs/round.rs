//! While the coding agent works: its events, the owner's words, permissions, limits. Each event is stored together with the
//! place that it has in the records, so that it counts once however often the daemon dies.

use std::time::{Duration, Instant};

use coders::{CoderCommand, CoderEnd, CoderEvent, Trouble, Verdict};
use futures_util::StreamExt;
use store::StoreError;
use tokio::sync::broadcast::error::RecvError;
use types::{Envelope, Event, JobEnd, JobState, RoundEnd};

use super::{
    next::{self, Next},
    prompts,
    questions::Questions,
    seam::{Hand, JobTrouble, Said},
    stored::Stored,
    take,
    takeover::Wish,
    worker::Worker,
};

/// How long an interrupted coding agent may take to end its turn before it is killed.
const TO_END: Duration = Duration::from_secs(10);
/// How often the time is looked at: the limit in minutes, reports by minutes, a turn that was lost.
const LOOK: Duration = Duration::from_secs(5);
/// How often in a row it may be found idle, with nothing said of the end of its turn.
const MAX_IDLE: u32 = 2;

/// Why the loop cannot go on.
pub(super) enum Broken {
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
    /// A question was put to the owner, or answered; true when it is a new one.
    Asked(bool),
    Time,
}

/// How the loop goes on.
enum Flow {
    /// It listens on.
    On,
    /// The job is in another state, or has another prompt to give.
    Next,
    /// The job ends, which is stored as its `ending`.
    End(JobEnd),
    /// The supervisor is gone with the turn that ran. The next one tells of that, and there it counts.
    Lost,
}

/// What the loop keeps in mind while it listens.
#[derive(Default)]
struct Listening {
    questions: Questions,
    /// Since when the turn is to end.
    ending: Option<Instant>,
    /// How often in a row it was found idle.
    idle: u32,
}

impl Worker {
    /// Works until the turn of the coding agent is over, or until its supervisor is gone.
    pub(super) async fn round(&mut self) -> Result<(), StoreError> {
        let Some(mut hand) = self.take_up().await? else { return Ok(()) };
        let flow = match self.give_order(&mut *hand).await {
            Ok(()) => self.listen(&mut *hand).await,
            Err(broken) => Err(broken),
        };
        match flow {
            Ok(Flow::On | Flow::Next) => {
                self.hand = Some(hand);
                Ok(())
            }
            Ok(Flow::End(end)) => self.leave(hand, end).await,
            Ok(Flow::Lost) => {
                self.is_lost = true;
                Ok(())
            }
            Err(Broken::Store(error)) => Err(error),
            Err(Broken::Trouble(trouble)) => {
                drop(hand);
                self.trouble(trouble).await
            }
        }
    }

    /// Takes in what happens until the turn is over.
    async fn listen(&mut self, hand: &mut dyn Hand) -> Result<Flow, Broken> {
        let mut listening = Listening { questions: self.questions_again(hand), ..Listening::default() };
        let control = self.control.clone();
        let mut events = self.core.store.subscribe();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Words that came before this listened.
        control.said.notify_one();
        self.show_state().await?;
        loop {
            self.judge_next(&mut listening.questions)?;
            let judging = &mut listening.questions.judging;
            let woken = tokio::select! {
                said = hand.next() => Woken::Said(said),
                Some((id, verdict)) = judging.next(), if !judging.is_empty() => Woken::Judged(id, verdict),
                () = control.said.notified() => Woken::OwnersWords,
                () = control.sat.notified() => match control.wish() {
                    Some(wish) => Woken::Wished(wish),
                    None => continue,
                },
                event = events.recv() => match self.concerns(&event) {
                    Some(is_new) => Woken::Asked(is_new),
                    None => continue,
                },
                _ = looks.tick() => Woken::Time,
            };
            let flow = match woken {
                Woken::Said(None) if hand.is_busy() && !self.is_lost && self.job.memory.ending.is_none() => Flow::Lost,
                Woken::Said(None) => {
                    return Err(JobTrouble::passing("the supervisor of the job ended by itself").into());
                }
                Woken::Said(Some(said)) => self.said(hand, said, &mut listening).await?,
                Woken::Judged(permission, verdict) => {
                    self.answer(hand, permission, verdict).await?;
                    self.show_state().await?;
                    Flow::On
                }
                Woken::OwnersWords => {
                    self.steer(hand).await?;
                    Flow::On
                }
                Woken::Wished(wish) => match self.give_way(wish).await? {
                    true => Flow::Next,
                    false => Flow::On,
                },
                Woken::Asked(is_new) => {
                    let memory = &mut self.job.memory;
                    memory.questions = memory.questions.saturating_add(u32::from(is_new));
                    self.show_state().await?;
                    Flow::On
                }
                Woken::Time => self.on_time(hand, &mut listening).await?,
            };
            match flow {
                Flow::On => {}
                Flow::Next | Flow::End(_) | Flow::Lost => return Ok(flow),
            }
        }
    }

    /// Whether an event is about a question of this job; true when the question is a new one.
    pub(super) fn concerns(&self, event: &Result<Envelope, RecvError>) -> Option<bool> {
        match event {
            Ok(envelope) if envelope.session != Some(self.job.session) => None,
            Ok(envelope) => match envelope.event {
                Event::OwnerAsked { .. } => Some(true),
                Event::OwnerAnswered { .. } => Some(false),
                _ => None,
            },
            // Anything may have been missed.
            Err(RecvError::Lagged(_)) => Some(false),
            Err(RecvError::Closed) => None,
        }
    }

    /// Whether it works or waits for the owner, as clients see it.
    async fn show_state(&mut self) -> Result<(), StoreError> {
        let state = if self.open_questions()? > 0 { JobState::Asking } else { JobState::Working };
        if self.job.state == state {
            return Ok(());
        }
        self.move_to(state);
        self.save().await
    }

    /// Takes in one event.
    async fn said(&mut self, hand: &mut dyn Hand, said: Said, listening: &mut Listening) -> Result<Flow, Broken> {
        self.heard(hand, &said);
        (listening.idle, self.is_lost) = (0, false);
        let redactor = self.core.vault.redactor();
        if let CoderEvent::TextDelta { text } = &said.event {
            self.text.push_str(text);
            let shown: String = self.text.drain(..redactor.settled(&self.text)).collect();
            let text = redactor.redact(&shown).into_owned();
            let event = Event::CoderDelta { job: self.job.id, text };
            self.core.store.publish(Some(self.job.session), self.job.turn, event);
            return Ok(Flow::On);
        }
        self.text.clear();
        let taken = take::take(&mut self.job, &said.event, &redactor);
        if let Some(id) = &taken.withdrawn {
            self.withdraw(id, &mut listening.questions).await;
        }
        if let Some(permission) = taken.asked
            && hand.pending().contains(&permission)
        {
            self.job.memory.asked.insert(permission.id.clone(), said.record);
            listening.questions.held.push_back((permission, said.record));
        }
        let used = taken.used.filter(|_| !hand.is_our_own());
        let stored = Stored { events: taken.events, used, ..Stored::default() };
        if let Some(end) = taken.finished {
            return Ok(self.finished(end, stored).await?);
        }
        let stored = self.with_report(stored);
        self.store(stored).await?;
        if matches!(said.event, CoderEvent::Spent(_) | CoderEvent::ToolFinished { .. }) {
            self.give_up_at_limit(hand, listening).await?;
        }
        Ok(Flow::On)
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
        if let Err(error) = hand.command(&self.job, CoderCommand::Interrupt).await {
            // It is killed when its time is over.
            tracing::debug!(job = %self.job.id, %error, "the coding agent cannot be interrupted");
        }
        Ok(())
    }

    /// What time alone brings.
    async fn on_time(&mut self, hand: &mut dyn Hand, listening: &mut Listening) -> Result<Flow, Broken> {
        self.give_up_at_limit(hand, listening).await?;
        if let Some(ending) = self.job.memory.ending.clone() {
            let since = *listening.ending.get_or_insert_with(Instant::now);
            if hand.is_busy() && since.elapsed() < TO_END {
                return Ok(Flow::On);
            }
            // The end of its turn may have been read and not heard yet.
            while let Some(said) = hand.unheard().await {
                match self.said(hand, said, listening).await? {
                    Flow::On => {}
                    flow => return Ok(flow),
                }
            }
            return Ok(Flow::End(ending));
        }
        let stored = self.with_report(Stored::default());
        if !stored.is_empty() {
            self.store(stored).await?;
        }
        listening.idle = if hand.is_busy() { 0 } else { listening.idle + 1 };
        if listening.idle <= MAX_IDLE {
            return Ok(Flow::On);
        }
        // The turn was lost together with the supervisor that had it.
        let message = "its turn was cut off".to_owned();
        self.job.memory.last_error = Some(message.clone());
        Ok(self.finished(CoderEnd::Failed { trouble: Trouble::Crashed, message }, Stored::default()).await?)
    }

    /// The turn of the coding agent is over: what follows is stored together with it.
    async fn finished(&mut self, end: CoderEnd, mut stored: Stored) -> Result<Flow, StoreError> {
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
        let next = next::after_turn(&self.job, &end, self.has_words()?);
        let limit = match &next {
            Next::GoOn | Next::Later(_) | Next::Anew | Next::Tell => self.limit(true)?,
            Next::Check | Next::Land | Next::End(_) | Next::Feedback => None,
        };
        self.follow(limit.map_or(next, |limit| Next::End(JobEnd::Limit { limit })), stored).await
    }

    /// Stores the end of a turn with what follows from it.
    async fn follow(&mut self, next: Next, stored: Stored) -> Result<Flow, StoreError> {
        match next {
            Next::Check => {
                self.move_to(JobState::Checking);
                self.store(stored).await?;
            }
            Next::Land => {
                self.move_to(JobState::Landing);
                self.store(stored).await?;
            }
            Next::End(end) => {
                self.job.memory.ending = Some(end.clone());
                self.store(stored).await?;
                return Ok(Flow::End(end));
            }
            Next::Tell => self.prompt(prompts::more(), stored.write()).await?,
            Next::GoOn | Next::Feedback => self.go_on_with(stored).await?,
            Next::Later(pause) => {
                self.pause(pause);
                self.go_on_with(stored).await?;
            }
            Next::Anew => {
                self.begin_anew();
                self.go_on_with(stored).await?;
            }
        }
        Ok(Flow::Next)
    }

    /// Another prompt after a turn that broke off: a short one, unless the conversation is gone or was never begun.
    async fn go_on_with(&mut self, stored: Stored) -> Result<(), StoreError> {
        let knows = self.job.memory.conversation.is_some() || self.job.memory.coder == super::OUR_OWN;
        let prompt = if knows {
            prompts::go_on(&self.job)
        } else {
            prompts::hand_over(&self.job, &self.tried(stored.round.as_ref())?, None)
        };
        self.prompt(prompt, stored.write()).await
    }

    pub(super) async fn store(&mut self, stored: Stored) -> Result<(), StoreError> {
        self.commit(stored.write()).await
    }
}
