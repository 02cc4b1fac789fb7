//! Take-over: the owner works in place of the coding agent, in the job's sandbox and in the same conversation, and hands back.
//! Owns what happens in between; the terminal itself is the supervisor's. Whether a job is taken over is stored with it, and
//! whether the owner is still there is told by the records, so that a restart of the daemon changes nothing at the terminal.

use std::{sync::Arc, time::Duration};

use sandbox::{Record, Supervised, What};
use store::StoreError;
use tokio::{sync::oneshot, time::timeout};
use types::{Failure, JobEnd, JobId, JobState};

use super::{
    command::find,
    control::Control,
    engine::is_over,
    prompts,
    seam::{Hand, NotTold},
    worker::Worker,
};
use crate::{core::Core, failure::user};

/// How long the owner waits until the coding agent's program is ended and another one started at the terminal.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the owner wants of a job's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// To sit down at it.
    Taken,
    /// To leave it to the coding agent again.
    Left,
}

/// What became of it; the error says why nothing did.
pub(super) type Seated = Result<(), String>;

/// What the owner wants, and whom to tell.
#[derive(Debug)]
pub(super) struct Wish {
    pub seat: Seat,
    answer: oneshot::Sender<Seated>,
}

impl Wish {
    pub fn new(seat: Seat) -> (Self, oneshot::Receiver<Seated>) {
        let (answer, seated) = oneshot::channel();
        (Self { seat, answer }, seated)
    }

    /// Whether somebody still waits for it.
    pub fn is_open(&self) -> bool {
        !self.answer.is_closed()
    }

    pub fn answer(self, seated: Seated) {
        // Whoever asked may have gone.
        let _ = self.answer.send(seated);
    }
}

/// What the records tell of a job's terminal since a program of the coding agent was last started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// None was opened.
    #[default]
    Unopened,
    /// The owner sits there.
    Open,
    /// The owner was there, and is not any more.
    Closed,
}

impl Terminal {
    /// After another record. What was open in records up to `lost` was lost with an earlier supervisor.
    fn after(self, record: &Record, lost: u64) -> Self {
        match &record.what {
            What::Started { .. } => Self::Unopened,
            What::TerminalOpened { .. } if record.seq > lost => Self::Open,
            What::TerminalOpened { .. } | What::TerminalClosed { .. } => Self::Closed,
            _ => self,
        }
    }
}

/// The terminal as it stands in the records by now.
pub(crate) async fn terminal(supervised: &Supervised, lost: u64) -> Terminal {
    let last = supervised.written();
    let mut records = supervised.records();
    let (mut found, mut read) = (Terminal::default(), 0);
    while read < last {
        let Some(record) = records.next().await else { break };
        read = record.seq;
        found = found.after(&record, lost);
    }
    found
}

/// Waits until the terminal is closed. False when its supervisor is gone.
pub(crate) async fn closed(supervised: Supervised, lost: u64) -> bool {
    let last = supervised.written();
    let mut records = supervised.records();
    let mut found = Terminal::default();
    while let Some(record) = records.next().await {
        found = found.after(&record, lost);
        if record.seq >= last && found == Terminal::Closed {
            return true;
        }
    }
    false
}

/// Lets the owner work in place of a job's coding agent.
pub(crate) async fn take_over(core: &Arc<Core>, id: JobId) -> Result<String, Failure> {
    let job = find(core, id)?;
    match job.state {
        JobState::Working | JobState::Asking => {}
        JobState::TakenOver => {
            return Ok(format!("job {id} is in your hands already; `factotum attach {id}` shows it"));
        }
        JobState::Queued | JobState::Preparing | JobState::Checking | JobState::Landing | JobState::Ended { .. } => {
            let hint = if is_over(&job) { "`factotum job resume` lets it go on" } else { "try again in a moment" };
            return Err(user(format!("no coding agent works on job {id} at the moment"), hint));
        }
    }
    if job.memory.coder == super::OUR_OWN {
        let hint = "say something to it with `factotum job steer`";
        return Err(user(format!("job {id} is done by factotum itself, which has no terminal"), hint));
    }
    seat(core, id, Seat::Taken).await?;
    Ok(format!("job {id} is yours; `factotum attach {id}` shows it, `factotum job handback {id}` gives it back"))
}

/// Lets the coding agent go on where the owner has worked.
pub(crate) async fn hand_back(core: &Arc<Core>, id: JobId) -> Result<String, Failure> {
    let job = find(core, id)?;
    if job.state != JobState::TakenOver {
        let hint = format!("`factotum job takeover {id}` takes it");
        return Err(user(format!("job {id} is not in your hands"), hint));
    }
    seat(core, id, Seat::Left).await?;
    Ok(format!("job {id} goes on by itself"))
}

/// Asks the job's worker and waits for what becomes of it.
async fn seat(core: &Arc<Core>, id: JobId, seat: Seat) -> Result<(), Failure> {
    let (wish, seated) = Wish::new(seat);
    core.jobs.seat(id, wish).await;
    match timeout(PATIENCE, seated).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(why))) => Err(user(why, format!("`factotum job show {id}` says how it is doing"))),
        Ok(Err(_)) => Err(user(format!("job {id} went on to something else"), "try again in a moment")),
        Err(_) => Err(user(format!("job {id} does not answer"), "try again in a moment")),
    }
}

/// Waits until the owner stands up. Gives whether the supervisor is still there, and who said that they do.
async fn left(control: Arc<Control>, hand: &mut dyn Hand) -> (bool, Option<Wish>) {
    loop {
        tokio::select! {
            is_there = hand.stood_up() => return (is_there, None),
            () = control.sat.notified() => {}
        }
        match control.wish() {
            Some(wish) if wish.seat == Seat::Left => match hand.stand_up().await {
                Ok(()) => return (true, Some(wish)),
                Err(trouble) => wish.answer(Err(format!("the terminal cannot be closed: {}", trouble.error))),
            },
            Some(wish) => wish.answer(Ok(())),
            None => {}
        }
    }
}

impl Worker {
    /// The owner wants to take the coding agent's place. True when the turn is over by that.
    pub(super) async fn give_way(&mut self, wish: Wish) -> Result<bool, StoreError> {
        if wish.seat == Seat::Left {
            wish.answer(Err(format!("job {} is not in your hands", self.job.id)));
            return Ok(false);
        }
        if self.job.memory.ending.is_some() {
            wish.answer(Err(format!("job {} is about to end", self.job.id)));
            return Ok(false);
        }
        self.move_to(JobState::TakenOver);
        self.save().await?;
        self.wish = Some(wish);
        Ok(true)
    }

    /// While the owner works. Also where a restart of the daemon finds them at work.
    pub(super) async fn taken_over(&mut self) -> Result<(), StoreError> {
        let wish = self.wish.take();
        let Some(mut hand) = self.take_up().await? else { return Ok(()) };
        let sits = match hand.sit_down(&self.job).await {
            Ok(sits) => sits,
            Err(why) => return self.not_taken_over(hand, wish, &why).await,
        };
        self.absorb(&mut *hand).await?;
        if let Some(wish) = wish {
            wish.answer(Ok(()));
        }
        let (is_there, wish) = if sits { left(self.control.clone(), &mut *hand).await } else { (true, None) };
        let went_on = self.go_on(is_there.then_some(hand)).await;
        if let Some(wish) = wish {
            wish.answer(Ok(()));
        }
        went_on
    }

    /// The coding agent goes on, and is told that somebody has worked in between.
    async fn go_on(&mut self, hand: Option<Box<dyn Hand>>) -> Result<(), StoreError> {
        if let Some(limit) = self.limit(true)? {
            drop(hand);
            return self.end(JobEnd::Limit { limit }).await;
        }
        self.hand = hand;
        self.job.memory.troubles = 0;
        self.move_to(JobState::Working);
        self.prompt(prompts::handed_back(), |_, _| Ok(())).await
    }

    /// The owner cannot sit down. If the coding agent's turn broke off by that, its records say so.
    async fn not_taken_over(
        &mut self,
        hand: Box<dyn Hand>,
        wish: Option<Wish>,
        why: &NotTold,
    ) -> Result<(), StoreError> {
        let why = format!("it could not be taken over: {why}");
        let why = self.core.vault.redactor().redact(&why).into_owned();
        self.note(vec![why.clone()]);
        if let Some(wish) = wish {
            wish.answer(Err(why));
        }
        self.hand = Some(hand);
        self.move_to(JobState::Working);
        self.save().await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn records_tell_whether_the_owner_is_there() {
        let started = || What::Started { run: 1, argv: Vec::new(), note: Value::Null };
        let opened = || What::TerminalOpened { argv: Vec::new() };
        let closed = || What::TerminalClosed { code: Some(0) };
        let said = || What::Out { line: String::new() };
        let of = |all: Vec<What>, lost: u64| {
            let numbered = (1..).zip(all).map(|(seq, what)| Record { seq, at: 0, what });
            numbered.fold(Terminal::default(), |found, record| found.after(&record, lost))
        };
        assert_eq!(of(vec![started(), said()], 0), Terminal::Unopened);
        assert_eq!(of(vec![started(), opened(), said()], 0), Terminal::Open);
        assert_eq!(of(vec![started(), opened(), closed()], 0), Terminal::Closed);
        assert_eq!(of(vec![started(), opened(), closed(), started()], 0), Terminal::Unopened, "a second time");
        assert_eq!(of(vec![started(), opened()], 2), Terminal::Closed, "it died with its supervisor");
        assert_eq!(of(vec![started(), opened(), said(), opened()], 3), Terminal::Open);
    }
}
