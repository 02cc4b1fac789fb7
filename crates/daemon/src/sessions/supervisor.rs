//! The supervisor: owns and joins every worker.

use std::{collections::HashMap, sync::Arc, time::Duration};

use store::CallState;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::Instant,
};
use types::{InboxId, SessionId, TurnId};

use super::{Halted, Order, control::Control, worker};
use crate::core::Core;

/// Turns that may run at the same time; more wait.
const MAX_TURNS: usize = 128;
/// How long a stopping daemon waits for tool calls that must not be cut off.
const GRACE: Duration = Duration::from_secs(10);

/// One session's worker.
struct Slot {
    task: AbortHandle,
    control: Arc<Control>,
    /// Something came while it worked: it may have looked before that.
    again: bool,
}

struct Supervisor {
    core: Arc<Core>,
    workers: JoinSet<()>,
    slots: HashMap<SessionId, Slot>,
    permits: Arc<Semaphore>,
}

/// Runs until the daemon stops, then checkpoints what runs.
pub(crate) async fn supervise(core: Arc<Core>, mut orders: mpsc::Receiver<Order>) {
    let stopping = core.phases.stopping.clone();
    let permits = Arc::new(Semaphore::new(MAX_TURNS));
    let mut supervisor = Supervisor { core, workers: JoinSet::new(), slots: HashMap::new(), permits };
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(order) = orders.recv() => supervisor.take(order),
            Some(ended) = supervisor.workers.join_next_with_id() => supervisor.joined(ended),
        }
    }
    supervisor.checkpoint().await;
}

impl Supervisor {
    fn take(&mut self, order: Order) {
        match order {
            Order::Wake(session) => self.start(session, worker::Task::Messages),
            Order::Resume(session) => self.start(session, worker::Task::Messages),
            Order::Interrupt(session) => {
                if let Some(slot) = self.slots.get(&session) {
                    slot.control.interrupt();
                }
                self.start(session, worker::Task::Messages);
            }
            Order::Stop(session, answer) => {
                let last = self.core.store.last_inbox().unwrap_or_else(|error| {
                    tracing::error!(%error, "the inbox cannot be read; STOP ends what runs, but not what waits");
                    InboxId(0)
                });
                let slots = self.slots.iter().filter(|(id, _)| session.is_none_or(|session| session == **id));
                let turns = slots.filter(|(_, slot)| slot.control.stop(last)).count();
                // Whoever asked may have gone; the turns are stopped all the same.
                let _ = answer.send(Halted { turns, last });
            }
        }
    }

    fn start(&mut self, session: SessionId, task: worker::Task) {
        if let Some(slot) = self.slots.get_mut(&session) {
            slot.again = true;
            return;
        }
        let control = Arc::new(Control::default());
        let work = worker::work(self.core.clone(), session, control.clone(), task, self.permits.clone());
        let task = self.workers.spawn(work);
        self.slots.insert(session, Slot { task, control, again: false });
    }

    /// A worker ended. One that panicked leaves a turn that must be told to the owner.
    fn joined(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(session) = self.slots.iter().find(|(_, slot)| slot.task.id() == id).map(|(session, _)| *session)
        else {
            return;
        };
        let again = self.slots.remove(&session).is_some_and(|slot| slot.again);
        let left = self.core.sessions.set_running(session, None);
        match (ended, left) {
            (Err(error), Some(turn)) if error.is_panic() => {
                tracing::error!(%session, %turn, "the code of a turn panicked; the turn is recorded as failed");
                self.start(session, worker::Task::Panicked(turn));
            }
            (Err(error), None) if error.is_panic() => {
                tracing::error!(%session, "a session's worker panicked outside a turn");
            }
            (Ok(_) | Err(_), _) if again => self.start(session, worker::Task::Messages),
            (Ok(_) | Err(_), _) => {}
        }
    }

    /// Ends all workers so that each turn can go on after the next start: at once where nothing is lost by it, after
    /// the tool call where one runs that must not be repeated, and in any case at the deadline.
    async fn checkpoint(&mut self) {
        let deadline = Instant::now() + GRACE;
        let mut events = self.core.store.subscribe();
        loop {
            for (session, turn) in self.core.sessions.running() {
                if !self.has_open_effect(turn) {
                    self.abort(session);
                }
            }
            let idle: Vec<SessionId> = self.slots.keys().copied().collect();
            for session in idle {
                if self.core.sessions.running_turn(session).is_none() {
                    self.abort(session);
                }
            }
            tokio::select! {
                ended = self.workers.join_next_with_id() => match ended {
                    Some(ended) => self.forget(&ended),
                    None => return,
                },
                // Any event may be the end of the call that we wait for. A lagging reader looks again as well.
                _ = events.recv() => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        tracing::warn!("tool calls were cut off at the end of the grace period; their outcome counts as unknown");
        self.workers.shutdown().await;
    }

    fn has_open_effect(&self, turn: TurnId) -> bool {
        let calls = self.core.store.calls(turn).unwrap_or_default();
        calls.iter().any(|call| matches!(call.state, CallState::Started) && !call.read_only)
    }

    fn abort(&mut self, session: SessionId) {
        let Some(slot) = self.slots.remove(&session) else { return };
        // Dropping the future is a checkpoint: every step of a turn is durable before the next begins.
        slot.task.abort();
        self.core.sessions.set_running(session, None);
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.slots.retain(|_, slot| slot.task.id() != id);
    }
}
