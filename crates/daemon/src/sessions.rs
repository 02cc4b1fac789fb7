//! One turn at a time in each session. A supervisor starts a worker for a session that has something to do and joins
//! it; a worker ends when nothing is left, so an idle session costs nothing. It must not look into a turn: that is the
//! agent's part.

mod control;
mod supervisor;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use types::{SessionId, TurnId, WhenBusy};

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
    Resume(SessionId, TurnId),
    /// Stop one session's turn, or all; answers how many ran.
    Stop(Option<SessionId>, oneshot::Sender<usize>),
}

/// What STOP did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// How many turns were running.
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
    let order = match when_busy {
        WhenBusy::Steer | WhenBusy::Queue => Order::Wake(session),
        WhenBusy::Interrupt => Order::Interrupt(session),
    };
    core.sessions.order(order).await;
}

/// Lets an interrupted turn go on.
pub(crate) async fn resume(core: &Core, session: SessionId, turn: TurnId) {
    core.sessions.order(Order::Resume(session, turn)).await;
}

/// STOP: cancels the turns and kills every process of their sandboxes. Messages that wait are not begun either.
pub(crate) async fn stop(core: &Arc<Core>, session: Option<SessionId>) -> Stopped {
    let (answer, turns) = oneshot::channel();
    core.sessions.order(Order::Stop(session, answer)).await;
    let turns = turns.await.unwrap_or(0);
    let kill = async {
        match session {
            Some(session) => core.pool.stop_session(session).await,
            None => core.pool.stop_all().await,
        }
    };
    if tokio::time::timeout(STOP_PATIENCE, kill).await.is_err() {
        tracing::error!("the sandboxes did not die within two seconds of STOP");
    }
    Stopped { turns }
}
