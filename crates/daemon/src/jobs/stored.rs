//! What is stored together with a job's row: events, what was used, a word to the owner, what came of a round.

use store::{DeliveryBody, Job, JobSince, JobUse, NewDelivery, StoreError, Tx};
use types::{Cadence, Event, RoundEnd};

use super::{limits::tokens, report, worker::Worker};
use crate::deliver;

/// What is stored with a job's row.
#[derive(Default)]
pub(super) struct Stored {
    pub events: Vec<Event>,
    pub used: Option<JobUse>,
    pub deliveries: Vec<NewDelivery>,
    /// The round, the last words in it and what came of it.
    pub round: Option<(u32, String, RoundEnd)>,
}

impl Stored {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.used.is_none() && self.deliveries.is_empty() && self.round.is_none()
    }

    /// As a part of a transaction.
    pub fn write(self) -> impl FnOnce(&mut Tx<'_>, &Job) -> Result<(), StoreError> + Send + 'static {
        move |tx, job| {
            if let (Some(used), Some(turn)) = (self.used, job.turn) {
                tx.settle(turn, job.memory.bookings, used.usage, Some(used.cost))?;
            }
            for event in self.events {
                tx.record(Some(job.session), job.turn, event)?;
            }
            for delivery in self.deliveries {
                tx.deliver(delivery)?;
            }
            if let Some((round, said, end)) = self.round {
                // A turn that the owner's own words began has no row yet.
                tx.begin_round(job.id, round, &job.memory.coder, "")?;
                tx.end_round(job.id, round, &said, &end)?;
            }
            Ok(())
        }
    }
}

impl Worker {
    /// Adds a word to the owner if one is due.
    pub(super) fn with_report(&mut self, mut stored: Stored) -> Stored {
        let now = self.core.clock.now();
        let memory = &self.job.memory;
        let is_due = match self.job.spec.report {
            Cadence::Iterations { count } => memory.iterations.saturating_sub(memory.told.iterations) >= count.max(1),
            Cadence::Minutes { count } => now.since(memory.told.at).as_secs() / 60 >= u64::from(count.max(1)),
            Cadence::End => false,
        };
        if !is_due {
            return stored;
        }
        let told = JobSince {
            rounds: memory.rounds,
            iterations: memory.iterations,
            tokens: tokens(&self.job),
            cost: memory.used.cost,
            at: now,
        };
        let number = memory.reports.saturating_add(1);
        stored.events.push(Event::JobProgress {
            job: self.job.id,
            rounds: memory.rounds,
            iterations: memory.iterations,
            usage: memory.used.usage,
            cost: memory.used.cost,
            last: memory.last.clone().unwrap_or_default(),
        });
        stored.deliveries.extend(self.delivery(&format!("report:{number}"), &report::progress(&self.job)));
        (self.job.memory.told, self.job.memory.reports) = (told, number);
        stored
    }

    /// A word to the chat in which the job was asked for; the same name again is the same word.
    pub(super) fn delivery(&self, name: &str, text: &str) -> Option<NewDelivery> {
        let target = self.job.reply_to.clone()?;
        let channel = self.job.reply_channel.clone();
        if channel == types::ChannelId::api() {
            return None;
        }
        let text = deliver::pieces(&self.core, &channel, text).into_iter().next()?;
        Some(NewDelivery {
            session: Some(self.job.session),
            turn: self.job.turn,
            channel,
            target,
            body: DeliveryBody::Notice { text },
            key: format!("job:{}:{name}", self.job.id),
        })
    }
}
