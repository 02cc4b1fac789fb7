//! Our own loop as a coding agent: the job's session is worked on by ordinary turns. A prompt is a message in it, the end of a
//! turn is the end of a round. What it spends is booked with its turns.

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use coders::{CoderCommand, CoderEnd, CoderEvent, Permission, Totals, Trouble};
use store::{Job, NewInbox, Store, StoreError};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};
use types::{
    BoxFuture, ChannelId, Envelope, Event, JobId, MicroUsd, Place, Seq, SessionId, ToolEnd, TurnEnd, TurnId, Usage,
    WhenBusy,
};

use super::{
    OUR_OWN,
    seam::{Hand, JobTrouble, NotTold, Said},
};
use crate::{core::Core, home::Home, sessions, terminals};

/// How long an interrupted turn may take to end.
const TO_END: Duration = Duration::from_secs(10);
/// How often a turn that is to end is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Events that are read from the journal in one go.
const BATCH: usize = 200;

/// The directory of the job in whose tree a session works, beneath which `tree` is: that of a job on a branch that our own loop works
/// on. None where a session works in its workspace.
pub(crate) fn own_tree(store: &Store, home: &Home, session: SessionId) -> Result<Option<PathBuf>, StoreError> {
    let job = store.job_of_session(session)?;
    let in_tree = |job: &Job| job.memory.coder == OUR_OWN && matches!(job.spec.place, Place::Branch { .. });
    Ok(job.filter(in_tree).map(|job| terminals::Place::Job(job.id).directory(home.path())))
}

/// Our own loop at work on a job.
pub(super) struct OwnLoop {
    core: Arc<Core>,
    job: JobId,
    session: SessionId,
    /// The turn that stands for the job, which is none of the loop's.
    stands_for_job: Option<TurnId>,
    /// How far the journal was read.
    read: Seq,
    unread: VecDeque<Envelope>,
    news: Receiver<Envelope>,
    /// What its turns have used since the job began, as the journal tells.
    spent: Totals,
    origin: types::Origin,
    /// The number of the last prompt that it was given.
    told: u64,
}

impl OwnLoop {
    /// Takes up the session of a job. Its records are the journal.
    pub fn open(core: Arc<Core>, job: &Job) -> Result<Self, JobTrouble> {
        let news = core.store.subscribe();
        let (session, stands_for_job) = (job.session, job.turn);
        let spent = Totals { usage: job.memory.counted.usage, cost: Some(job.memory.counted.cost) };
        let told = match &job.memory.order {
            Some(order) => {
                let name = name(job.id, order.number);
                let is_told = core.store.is_received(&ChannelId::jobs(), &name).map_err(JobTrouble::passing)?;
                order.number.saturating_sub(u32::from(!is_told))
            }
            None => job.memory.orders,
        };
        Ok(Self {
            core,
            job: job.id,
            session,
            stands_for_job,
            read: Seq(i64::try_from(job.memory.heard).unwrap_or(i64::MAX)),
            unread: VecDeque::new(),
            news,
            spent,
            origin: job.origin,
            told: told.into(),
        })
    }

    /// The next event of the loop's turns, from the journal.
    async fn envelope(&mut self) -> Option<Envelope> {
        loop {
            if let Some(next) = self.written() {
                return Some(next);
            }
            loop {
                match self.news.recv().await {
                    Ok(news) if news.session == Some(self.session) && news.seq.is_some() => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return None,
                }
            }
        }
    }

    /// The same, as far as there is one by now.
    fn written(&mut self) -> Option<Envelope> {
        if self.unread.is_empty() {
            match self.core.store.events_after(self.read, Some(self.session), BATCH) {
                Ok(batch) => {
                    self.read = batch.iter().filter_map(|one| one.seq).max().unwrap_or(self.read);
                    self.unread.extend(batch);
                }
                Err(error) => tracing::error!(job = %self.job, %error, "the journal cannot be read; waiting for news"),
            }
        }
        self.unread.pop_front()
    }

    fn said(&mut self, envelope: &Envelope) -> Option<Said> {
        let record = envelope.seq.and_then(|seq| u64::try_from(seq.0).ok()).unwrap_or(0);
        self.meaning(envelope).map(|event| Said { record, item: 0, at: envelope.at.0, event })
    }

    /// What an event of the loop means for the job, if anything.
    fn meaning(&mut self, envelope: &Envelope) -> Option<CoderEvent> {
        if envelope.turn.is_none() || envelope.turn == self.stands_for_job {
            return None;
        }
        match &envelope.event {
            Event::ModelAnswered { usage, cost, .. } => {
                let cost = self.spent.cost.unwrap_or_default().plus(cost.unwrap_or(MicroUsd(0)));
                self.spent = Totals { usage: self.spent.usage.plus(Usage::clone(usage)), cost: Some(cost) };
                Some(CoderEvent::Spent(self.spent))
            }
            Event::ToolStarted { call, tool, summary } => {
                let (id, tool, summary) = (call.clone(), tool.clone(), summary.clone());
                Some(CoderEvent::ToolStarted { id, tool, summary })
            }
            Event::ToolFinished { call, end, preview, .. } => {
                let ok = *end == ToolEnd::Ok;
                Some(CoderEvent::ToolFinished { id: call.clone(), ok, tail: preview.clone() })
            }
            Event::TurnFinished { end, text, .. } => Some(CoderEvent::Finished { end: ended(end, text) }),
            _ => None,
        }
    }

    /// Gives it a prompt. The same one again, after a crash, is the same message.
    async fn say(&mut self, number: u32, text: String) -> Result<(), StoreError> {
        let row = NewInbox {
            channel: ChannelId::jobs(),
            remote_id: name(self.job, number),
            session: self.session,
            text,
            reply_to: None,
            when_busy: WhenBusy::Queue,
            origin: self.origin,
        };
        self.core.store.transact(move |tx| tx.receive(row)).await?;
        self.told = number.into();
        sessions::wake(&self.core, self.session, WhenBusy::Queue).await;
        Ok(())
    }

    /// Whether a prompt waits for its turn.
    fn is_waited_for(&self) -> bool {
        let waiting = self.core.store.waiting_inbox(self.session).unwrap_or_default();
        waiting.iter().any(|row| row.channel == ChannelId::jobs())
    }
}

/// What a prompt is called in the inbox. No other run of the job and no other prompt has the same.
fn name(job: JobId, number: u32) -> String {
    format!("job:{job}:order:{number}")
}

/// How a turn of ours ended, as a coding agent's.
fn ended(end: &TurnEnd, text: &str) -> CoderEnd {
    let failed = |trouble, message: &str| CoderEnd::Failed { trouble, message: message.to_owned() };
    match end {
        TurnEnd::Done => CoderEnd::Done { text: text.to_owned() },
        TurnEnd::Stopped => CoderEnd::Interrupted,
        TurnEnd::Limit { limit } => failed(Trouble::OwnLimit, limit),
        TurnEnd::Looping { repeated } => failed(Trouble::Other, &format!("it went round in circles: {repeated}")),
        TurnEnd::Refused => failed(Trouble::Refused, "the model refused to answer"),
        TurnEnd::Failed { error } => failed(Trouble::Other, error),
    }
}

impl Hand for OwnLoop {
    fn next(&mut self) -> BoxFuture<'_, Option<Said>> {
        Box::pin(async move {
            loop {
                let envelope = self.envelope().await?;
                if let Some(said) = self.said(&envelope) {
                    return Some(said);
                }
            }
        })
    }

    fn unheard(&mut self) -> BoxFuture<'_, Option<Said>> {
        Box::pin(async move {
            loop {
                let envelope = self.written()?;
                if let Some(said) = self.said(&envelope) {
                    return Some(said);
                }
            }
        })
    }

    fn commands(&self) -> u64 {
        self.told
    }

    fn is_busy(&self) -> bool {
        self.is_waited_for() || self.core.sessions.running_turn(self.session).is_some()
    }

    fn pending(&self) -> Vec<Permission> {
        // Its questions are asked by the gate of its own turns.
        Vec::new()
    }

    fn command<'a>(&'a mut self, job: &'a Job, command: CoderCommand) -> BoxFuture<'a, Result<(), NotTold>> {
        Box::pin(async move {
            match command {
                CoderCommand::Prompt { text } => {
                    let number = job.memory.order.as_ref().map_or(job.memory.orders, |order| order.number);
                    self.say(number, text).await.map_err(|error| JobTrouble::passing(error).into())
                }
                CoderCommand::Interrupt | CoderCommand::Close => {
                    sessions::interrupt(&self.core, self.session).await;
                    Ok(())
                }
                CoderCommand::Steer { .. } => {
                    Err(NotTold::Unsupported("our own loop takes words from its session by itself".to_owned()))
                }
                CoderCommand::Answer { .. } => {
                    Err(NotTold::Unsupported("our own loop asks through its own gate".to_owned()))
                }
            }
        })
    }

    fn end_program(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            let ended = async {
                while self.is_busy() {
                    sessions::interrupt(&self.core, self.session).await;
                    // Any news may be its end; one that was missed is found by looking again.
                    let _ = timeout(LOOK, self.news.recv()).await;
                }
            };
            timeout(TO_END, ended).await.map_err(|_| JobTrouble::passing("the turn that works on it does not end"))
        })
    }

    /// A turn that the owner asks for meanwhile gets a new sandbox; what an earlier one left running is gone with its own.
    fn clear_away(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            self.end_program().await?;
            self.core.pool.stop_session(self.session).await;
            Ok(())
        })
    }

    fn is_our_own(&self) -> bool {
        true
    }
}
