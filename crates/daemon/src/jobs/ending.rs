//! The beginning and the end of a job's turn: what is stored with them, and what of the owner's words outlives the end.

use std::{sync::Arc, time::Duration};

use store::{Job, JobSince, NewTurn, StoreError, Tx};
use types::{ChannelId, JobEnd, JobId, JobState, Label, TurnEnd};

use super::{
    OUR_OWN, limits, report,
    seam::Hand,
    telling,
    worker::{MAX_ROUNDS, Worker, keep_note},
};
use crate::{core::Core, deliver, sessions, unattended};

/// Why a job ends whose code breaks off.
pub(super) const FAULT: &str = "a fault in factotum itself; please report it";
/// How long the end of a job may take to count what it changed.
const COUNTING: Duration = Duration::from_secs(20);
/// How long a coding agent's program may take to be ended and to have said its last.
const LAST_WORDS: Duration = Duration::from_secs(10);

impl Worker {
    /// The job gets its place: its turn begins.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        if let Some(refusal) = unattended::refusal(&self.core, self.job.origin).await {
            return self.end(JobEnd::Failed { error: refusal }).await;
        }
        let now = self.core.clock.now();
        self.move_to(JobState::Preparing);
        self.job.started_at = Some(now);
        self.job.ended_at = None;
        let tokens = limits::tokens(&self.job);
        let memory = &mut self.job.memory;
        let (rounds, iterations, cost) = (memory.rounds, memory.iterations, memory.used.cost);
        memory.since = JobSince { rounds, iterations, tokens, cost, at: now };
        memory.told = memory.since;
        (memory.waited_ms, memory.asking_since) = (0, None);
        memory.rechecks = 0;
        let mut job = self.job.clone();
        let begun = self.core.store.transact(move |tx| {
            job.turn = Some(begin_turn(tx, &job)?);
            let label = Label::UNKNOWN;
            tx.raise_label(job.session, label, "a coding agent works here, whose words and files are foreign text")?;
            tx.raise_workspace_label(&job.spec.workspace, label)?;
            tx.save_job(&job)?;
            Ok(job)
        });
        self.job = begun.await?;
        Ok(())
    }

    /// Ends the job by what was decided while the coding agent was listened to. What its program says as it is ended, such as
    /// what the last request has cost, is taken in before.
    pub(super) async fn leave(&mut self, mut hand: Box<dyn Hand>, end: JobEnd) -> Result<(), StoreError> {
        match tokio::time::timeout(LAST_WORDS, hand.end_program()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(job = %self.job.id, %error, "the program of a job that ends is killed"),
            Err(_) => tracing::debug!(job = %self.job.id, "the program of a job that ends took too long and is killed"),
        }
        self.absorb(&mut *hand).await?;
        // Whoever ends its supervisor must be the only one who holds it.
        drop(hand);
        self.end(end).await
    }

    /// Ends the job: kills what runs, and stores the end with its report. What a step that was dropped had stored counts.
    pub(super) async fn end(&mut self, end: JobEnd) -> Result<(), StoreError> {
        self.hand = None;
        let (id, is_stopped) = (self.job.id, end == JobEnd::Stopped);
        if !is_stopped {
            // What comes of that stands in the report. Nobody waits for it, as after a stop.
            let notes = self.shop.close(id).await;
            self.note(notes);
            if self.job.memory.changes.is_none() && self.job.started_at.is_some() {
                let counted = tokio::time::timeout(COUNTING, self.shop.changes(&self.job)).await;
                self.job.memory.changes = counted.ok().flatten();
            }
        }
        let here = self.job.memory.clone();
        let now = self.core.clock.now();
        let store = self.core.store.transact(move |tx| ended(tx, id, here, end, now));
        let (stored, notes) =
            tokio::join!(store, async { if is_stopped { self.shop.close(id).await } else { Vec::new() } });
        if let Some(job) = stored? {
            self.job = job;
        }
        if self.job.memory.coder == OUR_OWN {
            // From here on no turn of it begins; the one that has begun ends.
            sessions::interrupt(&self.core, self.job.session).await;
        }
        note_late(&self.core, id, notes).await
    }
}

/// Stores the end of a job that could not be ended otherwise, with a report that needs nothing of it. What runs for it is left.
pub(super) async fn give_up(core: &Arc<Core>, id: JobId) -> Result<(), StoreError> {
    let now = core.clock.now();
    let turn = core.store.transact(move |tx| {
        let Some(mut job) = tx.job(id)?.filter(|job| !matches!(job.state, JobState::Ended { .. })) else { return Ok(None) };
        let end = JobEnd::Failed { error: FAULT.to_owned() };
        let text = format!(
            "Job {id} was given up: {FAULT}. Its files are as they are in {}. What still runs for it ends when the daemon is \
             started anew; `factotum job resume {id}` tries again.",
            job.spec.workspace
        );
        let turn = match job.turn {
            Some(turn) if job.started_at.is_some() => turn,
            Some(_) | None => begin_turn(tx, &job)?,
        };
        job.turn = Some(turn);
        keep_words(tx, &mut job, turn)?;
        nothing_waits(&mut job, now);
        job.memory.report = Some(text.clone());
        job.state = JobState::Ended { end: end.clone() };
        tx.withdraw_requests(turn)?;
        tx.save_job(&job)?;
        tx.finish_turn(turn, turn_end(end), text)?;
        Ok(Some(turn))
    });
    match turn.await? {
        Some(turn) => deliver::turn(core, turn).await,
        None => Ok(()),
    }
}

/// Keeps what was found after the end of a job was stored, behind its report. One that goes on by now is left alone.
pub(super) async fn note_late(core: &Core, id: JobId, notes: Vec<String>) -> Result<(), StoreError> {
    if notes.is_empty() {
        return Ok(());
    }
    let redactor = core.vault.redactor();
    let notes: Vec<String> = notes.iter().map(|note| redactor.redact(note).into_owned()).collect();
    core.store
        .transact(move |tx| {
            let Some(mut job) = tx.job(id)?.filter(|job| matches!(job.state, JobState::Ended { .. })) else {
                return Ok(());
            };
            // What was told with the end, or by a daemon that died after this, is told once.
            let memory = &job.memory;
            let is_told = |note: &String| {
                let shown = report::note(note);
                memory.notes.contains(note) || memory.report.as_ref().is_some_and(|report| report.contains(&shown))
            };
            let new: Vec<String> = notes.into_iter().filter(|note| !is_told(note)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for note in new {
                job.memory.report.get_or_insert_default().push_str(&format!("\n{}", report::note(&note)));
                keep_note(&mut job, note);
            }
            tx.save_job(&job)
        })
        .await
}

/// An ended job waits for nothing any more.
fn nothing_waits(job: &mut Job, now: types::Timestamp) {
    let memory = &mut job.memory;
    (memory.ending, memory.retry_at, memory.paused_at, memory.asking_since) = (None, None, None, None);
    memory.asked.clear();
    (memory.moved_at, job.ended_at) = (now, Some(now));
}

/// Stores the end of a job, whatever its row holds by now.
fn ended(
    tx: &mut Tx<'_>,
    id: JobId,
    here: store::JobMemory,
    end: JobEnd,
    now: types::Timestamp,
) -> Result<Option<Job>, StoreError> {
    let Some(mut job) = tx.job(id)? else { return Ok(None) };
    if matches!(job.state, JobState::Ended { .. }) {
        return Ok(Some(job));
    }
    job.memory.changes = here.changes.or(job.memory.changes);
    job.memory.last_error = here.last_error.or(job.memory.last_error);
    job.memory.notes = here.notes;
    let turn = match job.turn {
        Some(turn) if job.started_at.is_some() => turn,
        // It never got a place; its owner hears of the end all the same.
        Some(_) | None => begin_turn(tx, &job)?,
    };
    job.turn = Some(turn);
    keep_words(tx, &mut job, turn)?;
    nothing_waits(&mut job, now);
    let tried = tx.job_rounds(id, MAX_ROUNDS)?;
    let took = job.started_at.map_or(Duration::ZERO, |begun| now.since(begun));
    let text = report::end(&job, &end, &tried, took);
    job.memory.report = Some(text.clone());
    job.state = JobState::Ended { end: end.clone() };
    tx.withdraw_requests(turn)?;
    tx.save_job(&job)?;
    tx.set_turn_step(turn, job.memory.bookings)?;
    tx.finish_turn(turn, turn_end(end), text)?;
    Ok(Some(job))
}

/// What the owner said and nobody was told goes with the next prompt, if the job is resumed; it begins no turn by itself.
fn keep_words(tx: &mut Tx<'_>, job: &mut Job, turn: types::TurnId) -> Result<(), StoreError> {
    let mut words = Vec::new();
    if let Some(order) = job.memory.order.take() {
        match order.before {
            // It may have been told, and only its records know.
            Some(_) if !order.words.is_empty() && job.memory.coder != OUR_OWN => job.memory.doubt = Some(order),
            Some(_) | None => words = order.words,
        }
    }
    words.append(&mut job.memory.words);
    for row in tx.waiting_inbox(job.session)? {
        tx.take_inbox(turn, row.id)?;
        if row.channel != ChannelId::jobs() {
            words.push(row.text);
        }
    }
    let left_out = telling::bound(&mut words, 0);
    if left_out > 0 {
        job.memory.notes.push(format!("{left_out} of your last words were too many to keep; say them again"));
    }
    job.memory.words = words;
    Ok(())
}

fn begin_turn(tx: &mut Tx<'_>, job: &Job) -> Result<types::TurnId, StoreError> {
    tx.begin_turn(NewTurn {
        session: job.session,
        origin: job.origin,
        model: format!("coder/{}", job.memory.coder),
        inbox: Vec::new(),
        reply_channel: job.reply_channel.clone(),
        reply_to: job.reply_to.clone(),
    })
}

fn turn_end(end: JobEnd) -> TurnEnd {
    match end {
        JobEnd::Done => TurnEnd::Done,
        JobEnd::Stopped => TurnEnd::Stopped,
        JobEnd::Limit { limit } => TurnEnd::Limit { limit },
        JobEnd::NoProgress { failure } => TurnEnd::Looping { repeated: report::theirs(&failure) },
        JobEnd::Failed { error } => TurnEnd::Failed { error: report::theirs(&error) },
    }
}
