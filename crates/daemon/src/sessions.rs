//! One turn at a time in each session. A supervisor starts a worker for a session that has something to do and joins
//! it; a worker ends when nothing is left, so an idle session costs nothing. It must not look into a turn: that is the
//! agent's part.

mod control;
mod stopped;
mod supervisor;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use types::{InboxId, SessionId, TurnId, WhenBusy};

use crate::core::Core;

pub(crate) use supervisor::supervise;

/// Orders that may wait for the supervisor. It only ever hands them on, so the queue is short.
const ORDERS: usize = 256;
/// How long STOP waits for processes to die before it answers.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What the supervisor is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Messages wait in this session.
    Wake(SessionId),
    /// A message waits that takes the place of the running turn.
    Interrupt(SessionId),
    /// A turn that a restart interrupted goes on.
    Resume(SessionId),
    /// Stop one session's turn, or all.
    Stop(Option<SessionId>, oneshot::Sender<Halted>),
}

/// What the supervisor did at a STOP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halted {
    /// How many turns were running.
    turns: usize,
    /// The last message that had come by then.
    last: InboxId,
}

/// What STOP did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// How many turns were running, and jobs not over.
    pub turns: usize,
}

/// The way to the supervisor, and a view of what runs. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    orders: mpsc::Sender<Order>,
    running: Arc<Mutex<HashMap<SessionId, TurnId>>>,
}

impl Sessions {
    /// The handle and what the supervisor reads from.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        (Self { orders, running: Arc::default() }, receiver)
    }

    /// The turn that runs in a session.
    pub fn running_turn(&self, session: SessionId) -> Option<TurnId> {
        self.table().get(&session).copied()
    }

    /// All turns that run, by session.
    pub fn running(&self) -> Vec<(SessionId, TurnId)> {
        let mut all: Vec<_> = self.table().iter().map(|(session, turn)| (*session, *turn)).collect();
        all.sort();
        all
    }

    fn set_running(&self, session: SessionId, turn: Option<TurnId>) -> Option<TurnId> {
        let mut table = self.table();
        match turn {
            Some(turn) => table.insert(session, turn),
            None => table.remove(&session),
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, TurnId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an order. It is lost only when the supervisor has ended; what it was about is durable by then.
    async fn order(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            tracing::debug!("an order came after the supervisor had stopped; the next start takes it up");
        }
    }
}

/// Says that a message of this kind is stored and waits.
pub(crate) async fn wake(core: &Core, session: SessionId, when_busy: WhenBusy) {
    match core.jobs.said(core, session).await {
        Ok(true) => return,
        Ok(false) => {}
        Err(error) => {
            tracing::error!(%session, %error, "it is not known whether the session is a job's; the next start takes it up");
            return;
        }
    }
    let order = match when_busy {
        WhenBusy::Steer | WhenBusy::Queue => Order::Wake(session),
        WhenBusy::Interrupt => Order::Interrupt(session),
    };
    core.sessions.order(order).await;
}

/// Lets an interrupted turn go on.
pub(crate) async fn resume(core: &Core, session: SessionId) {
    core.sessions.order(Order::Resume(session)).await;
}

/// Ends the turn that runs in a session, and nothing else: no message is put aside.
pub(crate) async fn interrupt(core: &Core, session: SessionId) {
    core.sessions.order(Order::Interrupt(session)).await;
}

/// STOP: cancels the turns, ends the jobs and kills every process of their sandboxes. Messages that wait are not begun
/// either. When this returns, no restart undoes it.
pub(crate) async fn stop(core: &Arc<Core>, session: Option<SessionId>) -> Stopped {
    // Jobs hear of it first: one that our own loop works on would go on with another turn.
    let jobs = core.jobs.stop(core, session);
    let (jobs, turns) = tokio::join!(biased; jobs, stop_turns(core, session));
    Stopped { turns: turns + jobs }
}

/// The same for turns alone; gives how many there were.
async fn stop_turns(core: &Arc<Core>, session: Option<SessionId>) -> usize {
    let (answer, turns) = oneshot::channel();
    core.sessions.order(Order::Stop(session, answer)).await;
    let halted = turns.await.unwrap_or(Halted { turns: 0, last: InboxId(0) });
    let kill = async {
        match session {
            Some(session) => core.pool.stop_session(session).await,
            None => core.pool.stop_sessions().await,
        }
    };
    let (killed, remembered) = tokio::join!(
        tokio::time::timeout(STOP_PATIENCE, kill),
        tokio::time::timeout(STOP_PATIENCE, stopped::remember(core, session, halted.last)),
    );
    if killed.is_err() {
        tracing::error!("the sandboxes did not die within two seconds of STOP");
    }
    if !matches!(remembered, Ok(Ok(()))) {
        tracing::error!("STOP is in force, but could not be stored: a restart in this moment would undo it");
    }
    halted.turns
}
