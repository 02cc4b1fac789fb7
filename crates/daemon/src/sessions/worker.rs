//! What happens in one session, turn after turn, until nothing is left to do.

use std::{sync::Arc, time::Duration};

use store::{InboxRow, NewTurn, StoreError, TurnState};
use tokio::sync::{Semaphore, broadcast};
use types::{Envelope, SessionId, TurnEnd, TurnId, WhenBusy};

use super::control::Control;
use crate::{
    core::{Core, Live},
    deliver, jobs, present, unattended,
};

/// The most messages that one turn begins with.
const MAX_BATCH: usize = 32;
/// A full disk or a failing one: how long to wait before another attempt, and how often. An hour in all.
const RETRY: Duration = Duration::from_secs(5);
const MAX_RETRIES: u32 = 720;

/// With what a worker begins. It goes on with the open turn, if there is one, and with the messages that wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    Messages,
    /// The code of this turn panicked.
    Panicked(TurnId),
}

/// Works until no message waits.
pub(super) async fn work(
    core: Arc<Core>,
    session: SessionId,
    control: Arc<Control>,
    task: Task,
    permits: Arc<Semaphore>,
) {
    let Ok(_permit) = permits.acquire_owned().await else { return };
    let worker = Worker { core, session, control };
    let mut task = task;
    for _ in 0..MAX_RETRIES {
        let Err(error) = worker.run(task).await else { return };
        tracing::error!(%session, %error, "the session stands still; trying again");
        tokio::time::sleep(RETRY).await;
        // What was done is durable, so it goes on from there.
        task = Task::Messages;
    }
    tracing::error!(%session, "the session is given up until the next message or the next start");
}

struct Worker {
    core: Arc<Core>,
    session: SessionId,
    control: Arc<Control>,
}

impl Worker {
    async fn run(&self, task: Task) -> Result<(), StoreError> {
        match task {
            Task::Messages => {}
            Task::Panicked(turn) => self.panicked(turn).await?,
        }
        self.take_up().await?;
        loop {
            let waiting = self.core.store.waiting_inbox(self.session)?;
            if let Some(last) = self.control.take_stopped()
                && waiting.first().is_some_and(|row| row.id <= last)
            {
                let aside = next_batch(waiting.into_iter().filter(|row| row.id <= last).collect());
                // There may be more of them than one batch.
                self.control.stop(last);
                self.put_aside(&aside).await?;
                continue;
            }
            let batch = next_batch(jobs::may_begin(&self.core.store, self.session, waiting)?);
            let Some(first) = batch.first() else { return Ok(()) };
            let events = self.core.store.subscribe();
            let live = self.core.live();
            if let Some(refusal) = unattended::refusal(&self.core, first.origin).await {
                self.refuse(&live, &batch, refusal).await?;
                continue;
            }
            let turn = agent::begin(&live.deps, self.new_turn(&live, &batch)).await?;
            self.turn(&live, turn, events).await?;
        }
    }

    fn new_turn(&self, live: &Live, batch: &[InboxRow]) -> NewTurn {
        let first = &batch[0];
        NewTurn {
            session: self.session,
            origin: first.origin,
            model: live.model.clone(),
            inbox: batch.iter().map(|row| row.id).collect(),
            reply_channel: first.channel.clone(),
            reply_to: first.reply_to.clone(),
        }
    }

    /// Takes up what an earlier worker left: a turn that has not ended, an answer that could not be handed to the
    /// outbox. A STOP that was said before reaches both the turn and the messages that wait.
    async fn take_up(&self) -> Result<(), StoreError> {
        let reach = super::stopped::reach(&self.core.store, self.session)?;
        let open = self.core.store.unfinished_turns()?;
        // The turn that stands for a job is not run by our own loop.
        let stands_for_job = self.core.store.job_of_session(self.session)?.and_then(|job| job.turn);
        let own = |turn: &store::Turn| turn.session == self.session && Some(turn.id) != stands_for_job;
        for turn in open.into_iter().filter(own) {
            if turn.inbox.first().is_some_and(|first| *first <= reach) {
                self.control.stop(reach);
            }
            let events = self.core.store.subscribe();
            self.turn(&self.core.live(), turn.id, events).await?;
        }
        for turn in self.core.store.undelivered_turns()? {
            if turn.session == self.session {
                deliver::turn(&self.core, turn.id).await?;
            }
        }
        self.control.stop(reach);
        Ok(())
    }

    /// Runs a turn that has begun, shows its progress and sees to its answer.
    async fn turn(&self, live: &Live, turn: TurnId, events: broadcast::Receiver<Envelope>) -> Result<(), StoreError> {
        let cancel = self.control.begin();
        let session = self.core.store.session(self.session)?;
        let waiting = self.core.store.waiting_inbox(self.session)?;
        if waiting.iter().any(|row| row.when_busy == WhenBusy::Interrupt) {
            // It came while the turn began, or before a restart.
            cancel.cancel();
        }
        if jobs::is_left_over(&self.core.store, turn)? {
            cancel.cancel();
        }
        self.core.sessions.set_running(self.session, Some(turn));
        present::watch(&self.core, turn, events);
        self.core.traffic.begin(self.session);
        let at_work = match &session {
            Some(session) => {
                let of_job = jobs::own_tree(&self.core.store, &self.core.home, self.session)?;
                let directory = of_job.map_or_else(|| self.core.directory(&session.workspace), |job| job.join("tree"));
                tokio::select! {
                    at_work = self.core.occupancy.work(&directory) => Some(at_work),
                    // A turn that is stopped while it waits for an undo only records its end.
                    () = cancel.cancelled() => None,
                }
            }
            None => None,
        };
        agent::run_turn(&live.deps, turn, cancel).await;
        drop(at_work);
        self.control.end();
        self.core.sessions.set_running(self.session, None);
        let running = |turn: store::Turn| turn.state == TurnState::Running;
        if self.core.store.turn(turn)?.is_some_and(running) {
            // Its end could not be stored.
            return Err(StoreError::Conflict(format!("turn {turn} could not be ended")));
        }
        deliver::turn(&self.core, turn).await
    }

    /// STOP was said while these waited: they are kept, answered and not begun.
    async fn put_aside(&self, batch: &[InboxRow]) -> Result<(), StoreError> {
        let live = self.core.live();
        let text = "You said stop before I began with this. Send it again if you still want it.".to_owned();
        self.end_at_once(&live, batch, TurnEnd::Stopped, text).await
    }

    async fn refuse(&self, live: &Live, batch: &[InboxRow], error: String) -> Result<(), StoreError> {
        self.end_at_once(live, batch, TurnEnd::Failed { error: error.clone() }, error).await
    }

    /// Records a turn that ends without having run.
    async fn end_at_once(&self, live: &Live, batch: &[InboxRow], end: TurnEnd, text: String) -> Result<(), StoreError> {
        let new = self.new_turn(live, batch);
        let begin = move |tx: &mut store::Tx<'_>| {
            let turn = tx.begin_turn(new)?;
            tx.finish_turn(turn, end, text)?;
            Ok(turn)
        };
        let turn = self.core.store.transact(begin).await?;
        deliver::turn(&self.core, turn).await
    }

    async fn panicked(&self, turn: TurnId) -> Result<(), StoreError> {
        let text =
            "This task was ended by a fault in factotum itself. What it had done so far is in the workspace and in \
                    `factotum log show`. Please report it; sending the message again starts anew."
                .to_owned();
        let error = "a fault in factotum itself".to_owned();
        let finish = move |tx: &mut store::Tx<'_>| {
            tx.withdraw_requests(turn)?;
            tx.finish_turn(turn, TurnEnd::Failed { error }, text)
        };
        self.core.store.transact(finish).await?;
        deliver::turn(&self.core, turn).await
    }
}

/// The messages that the next turn answers: the oldest one, and those after it that came the same way and may go with
/// it. A message that was to be queued stands alone; one that was to interrupt goes before all others.
fn next_batch(mut waiting: Vec<InboxRow>) -> Vec<InboxRow> {
    if let Some(place) = waiting.iter().position(|row| row.when_busy == WhenBusy::Interrupt) {
        return vec![waiting.swap_remove(place)];
    }
    let mut batch: Vec<InboxRow> = Vec::new();
    for row in waiting {
        let Some(first) = batch.first() else {
            batch.push(row);
            continue;
        };
        let same = first.channel == row.channel && first.reply_to == row.reply_to && first.origin == row.origin;
        let together = first.when_busy == WhenBusy::Steer && row.when_busy == WhenBusy::Steer;
        if !same || !together || batch.len() == MAX_BATCH {
            break;
        }
        batch.push(row);
    }
    batch
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use types::{ChannelId, InboxId, Origin, Timestamp};

    use super::*;

    fn row(id: i64, chat: &str, when_busy: WhenBusy) -> InboxRow {
        InboxRow {
            id: InboxId(id),
            channel: ChannelId::new("fake", "home"),
            remote_id: id.to_string(),
            session: SessionId(1),
            text: String::new(),
            reply_to: Some(chat.to_owned()),
            when_busy,
            origin: Origin::Owner,
            at: Timestamp(0),
        }
    }

    #[test]
    fn a_turn_begins_with_what_belongs_together() {
        use WhenBusy::{Interrupt, Queue, Steer};
        let check = |rows: &[(&str, WhenBusy)], expected: &[i64]| {
            let numbered = rows.iter().zip(1..).map(|((chat, when), id)| row(id, chat, *when)).collect();
            let batch: Vec<i64> = next_batch(numbered).iter().map(|row| row.id.0).collect();
            assert_eq!(batch, expected, "{rows:?}");
        };
        check(&[], &[]);
        check(&[("a", Steer), ("a", Steer), ("a", Queue), ("a", Steer)], &[1, 2]);
        check(&[("a", Queue), ("a", Steer)], &[1]);
        check(&[("a", Steer), ("b", Steer)], &[1]);
        check(&[("a", Queue), ("a", Interrupt), ("a", Steer)], &[2]);
        assert_eq!(next_batch((0..100).map(|id| row(id, "a", Steer)).collect()).len(), MAX_BATCH);
        assert!(next_batch(vec![row(1, "a", Steer)]).first().unwrap().reply_to.is_some());
    }
}
