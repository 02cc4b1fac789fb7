//! How a running turn shows in a chat: the typing sign, and one draft or one message that is edited at a pace the
//! messenger bears. All of it is best effort: it never holds up the turn, and what it cannot send is left out. The
//! answer itself is not its affair.

mod progress;
mod screen;

use std::sync::Arc;

use store::Turn;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, Interval, MissedTickBehavior},
};
use types::{ChannelId, Envelope, Event, TurnId};

use crate::core::Core;
use progress::Progress;
use screen::{Memory, Screen};

/// Shows a turn on the messenger that it answers, until it ends. `events` must have been subscribed to before the turn
/// began.
pub(crate) fn watch(core: &Arc<Core>, turn: TurnId, events: broadcast::Receiver<Envelope>) {
    let Ok(Some(turn)) = core.store.turn(turn) else { return };
    let Some(target) = turn.reply_to.clone() else { return };
    if turn.reply_channel == ChannelId::api() || !core.messengers.contains_key(&turn.reply_channel) {
        return;
    }
    let core = core.clone();
    core.tasks.clone().spawn(async move { show(core, turn, target, events).await });
}

async fn show(core: Arc<Core>, turn: Turn, target: String, events: broadcast::Receiver<Envelope>) {
    let Some(messenger) = core.messengers.get(&turn.reply_channel) else { return };
    let memory = StoreMemory { core: core.clone(), turn: turn.id };
    let mut screen = Screen::new(messenger.channel.clone(), target, turn.id, memory, core.phases.stopping.clone());
    let ended = follow(&core, turn.id, events, &mut screen).await;
    if let Some(record) = ended {
        screen.close(&record).await;
    }
}

/// Feeds the screen from the events; returns the closing line when the turn has ended.
async fn follow<M: Memory>(
    core: &Core,
    turn: TurnId,
    mut events: broadcast::Receiver<Envelope>,
    screen: &mut Screen<M>,
) -> Option<String> {
    let mut progress = Progress::default();
    let mut typing = screen.typing_every().map(renewal);
    screen.typing().await;
    loop {
        let due = screen.due();
        tokio::select! {
            () = core.phases.stopping.cancelled() => return None,
            event = events.recv() => match event {
                Ok(envelope) if envelope.turn == Some(turn) => {
                    if let Event::TurnFinished { steps, cost, end, .. } = &envelope.event {
                        return Some(progress::record(end, *steps, *cost));
                    }
                    progress.take(&envelope.event);
                    screen.want(progress.is_worth_showing().then(|| progress.text()));
                }
                Ok(_) => {}
                // What was missed is made good by what follows, except the end.
                Err(RecvError::Lagged(_)) => if let Some(record) = ended(core, turn) { return Some(record) },
                Err(RecvError::Closed) => return None,
            },
            () = sleep_until(due) => screen.draw().await,
            () = tick(&mut typing) => screen.typing().await,
        }
    }
}

/// The closing line of a turn whose end was missed.
fn ended(core: &Core, turn: TurnId) -> Option<String> {
    let row = core.store.turn(turn).ok()??;
    let store::TurnState::Ended(end) = &row.state else { return None };
    let spent = core.store.spent(store::SpendScope::Turn(turn)).ok()?;
    Some(progress::record(end, row.step, spent.settled))
}

/// After a restart: gives the progress message of a turn that ended before the restart its closing line.
pub(crate) async fn close(core: &Arc<Core>, turn: &Turn) {
    let (Some(target), Some(messenger)) = (turn.reply_to.clone(), core.messengers.get(&turn.reply_channel)) else {
        return;
    };
    let Some(record) = ended(core, turn.id) else { return };
    let memory = StoreMemory { core: core.clone(), turn: turn.id };
    let cancel = core.phases.stopping.clone();
    Screen::new(messenger.channel.clone(), target, turn.id, memory, cancel).close(&record).await;
}

/// Keeps the progress message's number in the store, so that a restart edits the same message.
struct StoreMemory {
    core: Arc<Core>,
    turn: TurnId,
}

impl Memory for StoreMemory {
    fn recall(&self) -> Option<String> {
        self.core.store.cursor(&format!("progress:{}", self.turn)).ok().flatten()
    }

    async fn keep(&self, remote: String) -> bool {
        let name = format!("progress:{}", self.turn);
        self.core.store.transact(move |tx| tx.set_cursor(name, remote)).await.is_ok()
    }
}

fn renewal(every: std::time::Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
