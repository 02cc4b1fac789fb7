//! Following what happens, across a restart of the daemon, and finding the turn that answers a message.

use std::time::Duration;

use daemon::client::{Client, EventStream};
use tokio::time::Instant;
use types::{Envelope, Event, Failure, FailureKind, InboxId, Seq, SessionId, TurnId};

/// How long a daemon may be away before we give up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(250);

/// The events of one session, in order and each once.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    session: SessionId,
    after: Seq,
    stream: Option<EventStream>,
    /// Since when the daemon has been away.
    lost: Option<Instant>,
}

impl Watch {
    /// Everything after `after` in this session.
    pub fn new(client: Client, session: SessionId, after: Seq) -> Self {
        Self { client, session, after, stream: None, lost: None }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The next event. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Envelope, Failure> {
        loop {
            if let Some(stream) = &mut self.stream {
                match stream.next().await {
                    Ok(Some(envelope)) => match self.take(envelope) {
                        Some(envelope) => return Ok(envelope),
                        None => continue,
                    },
                    Ok(None) => self.stream = None,
                    Err(failure) if failure.kind == FailureKind::Network => self.stream = None,
                    Err(failure) => return Err(failure),
                }
            }
            self.connect().await?;
        }
    }

    /// Drops what was seen already.
    fn take(&mut self, envelope: Envelope) -> Option<Envelope> {
        self.lost = None;
        if let Some(seq) = envelope.seq {
            if seq <= self.after {
                return None;
            }
            self.after = seq;
        }
        Some(envelope)
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        match self.client.events(self.after, Some(self.session)).await {
            Ok(stream) => {
                self.stream = Some(stream);
                // A daemon that accepts and closes at once must not be asked in a tight loop.
                if self.lost.is_some() {
                    tokio::time::sleep(PAUSE).await;
                }
                self.lost.get_or_insert_with(Instant::now);
                Ok(())
            }
            Err(failure) if failure.kind == FailureKind::Network => {
                if self.lost.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(failure);
                }
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What an event is to a message that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// It belongs to something else.
    Elsewhere,
    /// It belongs to the turn that answers.
    Ours,
    /// It is the end of that turn.
    End,
}

/// Finds the turn that answers one message.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    inbox: InboxId,
    turn: Option<TurnId>,
}

impl Follow {
    /// Waits for the turn that takes this message.
    pub fn new(inbox: InboxId) -> Self {
        Self { inbox, turn: None }
    }

    /// The message.
    pub fn inbox(&self) -> InboxId {
        self.inbox
    }

    /// What this event is to the message.
    pub fn see(&mut self, envelope: &Envelope) -> Bearing {
        if takes(&envelope.event, self.inbox) {
            self.turn = envelope.turn;
        }
        if self.turn.is_none() || envelope.turn != self.turn {
            return Bearing::Elsewhere;
        }
        if matches!(envelope.event, Event::TurnFinished { .. }) { Bearing::End } else { Bearing::Ours }
    }
}

/// Whether this event says that a turn took the message.
fn takes(event: &Event, message: InboxId) -> bool {
    if let Event::TurnStarted { inbox, .. } = event {
        return inbox.contains(&message);
    }
    matches!(event, Event::Steered { inbox } if *inbox == message)
}

#[cfg(test)]
mod tests {
    use types::{MicroUsd, Origin, Timestamp, TurnEnd, Usage};

    use super::*;

    fn envelope(turn: i64, event: Event) -> Envelope {
        Envelope { seq: Some(Seq(1)), at: Timestamp(0), session: Some(SessionId(1)), turn: Some(TurnId(turn)), event }
    }

    fn started(turn: i64, inbox: &[i64]) -> Envelope {
        let inbox = inbox.iter().copied().map(InboxId).collect();
        envelope(turn, Event::TurnStarted { origin: Origin::Owner, model: "lab/m".to_owned(), inbox })
    }

    fn finished(turn: i64) -> Envelope {
        let (usage, cost) = (Usage::default(), MicroUsd(0));
        envelope(turn, Event::TurnFinished { end: TurnEnd::Done, text: String::new(), steps: 1, usage, cost })
    }

    fn check(events: &[Envelope], expected: &[Bearing]) {
        let mut follow = Follow::new(InboxId(7));
        let seen: Vec<Bearing> = events.iter().map(|event| follow.see(event)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_turn_that_took_the_message_is_followed() {
        use Bearing::{Elsewhere, End, Ours};
        let step = |turn| envelope(turn, Event::StepStarted { step: 1 });
        check(
            &[started(1, &[6]), step(1), finished(1), started(2, &[7, 8]), step(2), finished(2)],
            &[Elsewhere, Elsewhere, Elsewhere, Ours, Ours, End],
        );
        let steered = envelope(1, Event::Steered { inbox: InboxId(7) });
        check(&[started(1, &[6]), steered, step(1), finished(1)], &[Elsewhere, Ours, Ours, End]);
    }
}
