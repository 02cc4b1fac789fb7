//! Our own loop as a coding agent: the job's session is worked on by ordinary turns. A prompt is a message in it, the end of a
//! turn is the end of a round. What it spends is booked with its turns.

use std::{collections::VecDeque, sync::Arc};

use coders::{CoderCommand, CoderEnd, CoderEvent, Permission, Totals, Trouble};
use store::{Job, NewInbox, StoreError};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use types::{
    BoxFuture, ChannelId, Envelope, Event, JobId, MicroUsd, Seq, SessionId, ToolEnd, TurnEnd, TurnId, Usage, WhenBusy,
};

use super::seam::{Hand, JobTrouble, NotTold, Said};
use crate::{core::Core, sessions};

/// Events that are read from the journal in one go.
const BATCH: usize = 200;

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
}

impl OwnLoop {
    /// Takes up the session of a job. Its records are the journal.
    pub fn open(core: Arc<Core>, job: &Job) -> Result<Self, JobTrouble> {
        let news = core.store.subscribe();
        let read = match job.cursor.record {
            0 => core.store.last_seq().map_err(JobTrouble::passing)?,
            record => Seq(i64::try_from(record).unwrap_or(i64::MAX)),
        };
        let spent = Totals { usage: job.memory.counted.usage, cost: Some(job.memory.counted.cost) };
        let (session, stands_for_job) = (job.session, job.turn);
        let unread = VecDeque::new();
        Ok(Self { core, job: job.id, session, stands_for_job, read, unread, news, spent, origin: job.origin })
    }

    /// The next event of the loop's turns, from the journal.
    async fn envelope(&mut self) -> Option<Envelope> {
        loop {
            if let Some(next) = self.unread.pop_front() {
                return Some(next);
            }
            match self.core.store.events_after(self.read, Some(self.session), BATCH) {
                Ok(batch) if !batch.is_empty() => {
                    self.read = batch.iter().filter_map(|one| one.seq).max().unwrap_or(self.read);
                    self.unread.extend(batch);
                    continue;
                }
                Ok(_) => {}
                Err(error) => tracing::error!(job = %self.job, %error, "the journal cannot be read; waiting for news"),
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

    async fn say(&self, text: String, number: u64) -> Result<(), StoreError> {
        let row = NewInbox {
            channel: ChannelId::api(),
            // The same prompt again, after a crash, is the same message.
            remote_id: format!("job:{}:told:{number}", self.job),
            session: self.session,
            text,
            reply_to: None,
            when_busy: WhenBusy::Steer,
            origin: self.origin,
        };
        self.core.store.transact(move |tx| tx.receive(row)).await?;
        sessions::wake(&self.core, self.session, WhenBusy::Steer).await;
        Ok(())
    }
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
                let record = envelope.seq.and_then(|seq| u64::try_from(seq.0).ok()).unwrap_or(0);
                if let Some(event) = self.meaning(&envelope) {
                    return Some(Said { record, item: 0, event });
                }
            }
        })
    }

    /// A message that was stored is not stored again, so that telling it again does no harm: none counts as told.
    fn commands(&self) -> u64 {
        0
    }

    fn is_busy(&self) -> bool {
        let waits = self.core.store.waiting_inbox(self.session).is_ok_and(|waiting| !waiting.is_empty());
        waits || self.core.sessions.running_turn(self.session).is_some()
    }

    fn pending(&self) -> Vec<Permission> {
        // Its questions are asked by the gate of its own turns.
        Vec::new()
    }

    fn command<'a>(&'a mut self, job: &'a Job, command: CoderCommand) -> BoxFuture<'a, Result<(), NotTold>> {
        Box::pin(async move {
            match command {
                CoderCommand::Prompt { text } => {
                    let number = u64::from(job.memory.rounds);
                    self.say(text, number).await.map_err(|error| JobTrouble::passing(error).into())
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
            sessions::interrupt(&self.core, self.session).await;
            Ok(())
        })
    }

    fn is_our_own(&self) -> bool {
        true
    }
}
