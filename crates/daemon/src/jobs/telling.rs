//! What a coding agent is told: each prompt and each word of the owner once and in order, however often the daemon dies.
//!
//! An order is stored before it is told, with the number of commands that the records held before it. Where they hold more, it
//! was told; only one order is open at a time, so the one more is it. A prompt is told while no turn runs and nothing of the turn
//! before is unheard, so what is heard after it belongs to it.

use coders::{CoderCommand, CoderEvent};
use sha2::{Digest, Sha256};
use store::{InboxRow, Job, JobOrder, JobUse, Store, StoreError, Tx};
use types::{ChannelId, CoderWord, Event, SessionId, TurnId};

use super::{
    engine::is_over,
    prompts, report,
    round::Broken,
    seam::{Hand, JobTrouble, NotTold, Said},
    stored::Stored,
    take,
    worker::Worker,
};

/// The most words of the owner that wait for the next prompt, and the most bytes that they have together.
const MAX_WORDS: usize = 20;
const MAX_WORD_BYTES: usize = 256 << 10;

/// Keeps the first words that may wait: `at_least` so many, and never none. Gives how many were left out.
pub(super) fn bound(words: &mut Vec<String>, at_least: usize) -> usize {
    let (before, mut bytes) = (words.len(), 0_usize);
    let fits = |word: &String| {
        bytes = bytes.saturating_add(word.len());
        bytes <= MAX_WORD_BYTES
    };
    let kept = words.iter().take(MAX_WORDS).map(fits).take_while(|fits| *fits).count();
    words.truncate(kept.max(at_least).max(1));
    before - words.len()
}

/// A command that is to be told once.
pub(super) fn order(job: &mut Job, command: &CoderCommand, words: Vec<String>) -> JobOrder {
    job.memory.orders = job.memory.orders.saturating_add(1);
    let command = serde_json::to_value(command).expect("a command has nothing but texts");
    JobOrder { number: job.memory.orders, before: None, words, command }
}

/// A prompt with the owner's words that waited for it, as an order.
pub(super) fn prompt_with(job: &mut Job, text: String, words: Vec<String>) -> JobOrder {
    let text = prompts::with_words(text, &words);
    order(job, &CoderCommand::Prompt { text }, words)
}

/// Adds words of the owner to an order that was not told yet. One that is no prompt takes them as its own.
fn add_words(order: &mut JobOrder, words: Vec<String>) -> Result<(), JobTrouble> {
    let mut command = command_of(order)?;
    if let CoderCommand::Prompt { text } | CoderCommand::Steer { text } = &mut command {
        *text = prompts::with_words(std::mem::take(text), &words);
    }
    order.command = serde_json::to_value(command).expect("a command has nothing but texts");
    order.words.extend(words);
    Ok(())
}

fn command_of(order: &JobOrder) -> Result<CoderCommand, JobTrouble> {
    serde_json::from_value(order.command.clone())
        .map_err(|error| JobTrouble::lasting(format!("what it is to be told cannot be read: {error}")))
}

/// Of the messages that wait in a session, those that may begin a turn of our own loop. While a job works there only its own
/// prompts may: what the owner says goes to the turn that runs, or with the next prompt.
pub(crate) fn may_begin(
    store: &Store,
    session: SessionId,
    mut waiting: Vec<InboxRow>,
) -> Result<Vec<InboxRow>, StoreError> {
    if store.job_of_session(session)?.is_some_and(|job| !is_over(&job)) {
        waiting.retain(|row| row.channel == ChannelId::jobs());
    }
    Ok(waiting)
}

/// Whether a turn was begun by a prompt of a job that is over by now.
pub(crate) fn is_left_over(store: &Store, turn: TurnId) -> Result<bool, StoreError> {
    let Some(turn) = store.turn(turn)?.filter(|turn| turn.reply_channel == ChannelId::jobs()) else { return Ok(false) };
    Ok(store.job_of_session(turn.session)?.is_none_or(|job| is_over(&job)))
}

impl Worker {
    /// The owner's words that wait in the job's session.
    fn waiting(&self) -> Result<Vec<InboxRow>, StoreError> {
        let mut waiting = self.core.store.waiting_inbox(self.job.session)?;
        waiting.retain(|row| row.channel != ChannelId::jobs());
        Ok(waiting)
    }

    /// Whether the owner has said something that was not told yet.
    pub(super) fn has_words(&self) -> Result<bool, StoreError> {
        Ok(!self.job.memory.words.is_empty() || !self.waiting()?.is_empty())
    }

    /// Decides on another prompt, in one transaction with what led to it and with the owner's words that wait. It is given when
    /// the coding agent is taken up.
    pub(super) async fn prompt(
        &mut self,
        text: String,
        before: impl FnOnce(&mut Tx<'_>, &Job) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let mut words = std::mem::take(&mut self.job.memory.words);
        let kept = words.len();
        let mut waiting = self.waiting()?;
        words.extend(waiting.iter().map(|row| row.text.clone()));
        // The rest waits on.
        bound(&mut words, kept);
        waiting.truncate(words.len().saturating_sub(kept));
        let prompt = prompt_with(&mut self.job, text, words);
        let memory = &mut self.job.memory;
        memory.questions = 0;
        if memory.fresh.is_empty() {
            memory.fresh = fresh();
        }
        let digest = hex::encode(Sha256::digest(prompt.command.to_string().as_bytes()));
        memory.order = Some(prompt);
        let round = memory.rounds.saturating_add(1);
        self.commit(move |tx, job| {
            before(tx, job)?;
            if let Some(turn) = job.turn {
                for row in waiting {
                    tx.take_inbox(turn, row.id)?;
                }
            }
            tx.begin_round(job.id, round, &job.memory.coder, &digest)
        })
        .await
    }

    /// Tells the coding agent what it is to be told, unless its records show that it was.
    pub(super) async fn give_order(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        self.settle_doubt(hand).await?;
        let Some(mut order) = self.job.memory.order.clone() else { return Ok(()) };
        let command = command_of(&order)?;
        if order.before.is_some_and(|before| hand.commands() > before) {
            return match hand.is_refused() {
                false => Ok(self.told(&command).await?),
                true => self.refused(hand, command, "it could not be told").await,
            };
        }
        if matches!(command, CoderCommand::Prompt { .. }) {
            self.clear_the_way(hand).await?;
        }
        let before = hand.commands();
        if order.before != Some(before) {
            order.before = Some(before);
            self.job.memory.order = Some(order);
            self.save().await?;
        }
        match hand.command(&self.job, command.clone()).await {
            Ok(()) => Ok(self.told(&command).await?),
            Err(NotTold::Trouble(trouble)) => Err(trouble.into()),
            Err(NotTold::Unsupported(why)) => self.refused(hand, command, &why).await,
        }
    }

    /// Looks whether words were told that the job ended with. Where they were not, they go with the prompt that is to be told.
    async fn settle_doubt(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        let Some(doubt) = self.job.memory.doubt.take() else { return Ok(()) };
        // Our own loop counts otherwise; whoever worked before was another one.
        let is_more = doubt.before.is_some_and(|before| hand.commands() > before);
        let was_told = is_more && !hand.is_refused() && !hand.is_our_own();
        if !was_told {
            match &mut self.job.memory.order {
                Some(order) if order.before.is_none() => add_words(order, doubt.words)?,
                Some(_) | None => self.job.memory.words.extend(doubt.words),
            }
        }
        Ok(self.save().await?)
    }

    /// Makes sure that what is heard from now on belongs to the next prompt.
    async fn clear_the_way(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        if hand.is_busy() {
            hand.end_program().await?;
        }
        self.absorb(hand).await?;
        Ok(())
    }

    /// It stands in the records that it was told.
    async fn told(&mut self, command: &CoderCommand) -> Result<(), StoreError> {
        let memory = &mut self.job.memory;
        memory.order = None;
        let text = match command {
            CoderCommand::Prompt { text } => {
                memory.left = None;
                text
            }
            CoderCommand::Steer { text } => text,
            CoderCommand::Interrupt | CoderCommand::Answer { .. } | CoderCommand::Close => return self.save().await,
        };
        let text = self.core.vault.redactor().redact(text).into_owned();
        let text = report::bounded(CoderWord::Told, &text);
        let event = Event::CoderSaid { job: self.job.id, kind: CoderWord::Told, text };
        self.store(Stored { events: vec![event], ..Stored::default() }).await
    }

    /// It had no effect. Words wait for the next prompt then, and the owner is told so; a prompt is given to another program.
    async fn refused(&mut self, hand: &mut dyn Hand, command: CoderCommand, why: &str) -> Result<(), Broken> {
        match command {
            CoderCommand::Steer { .. } => {
                let order = self.job.memory.order.take();
                let answers = order.as_ref().map_or(0, |order| order.number);
                self.job.memory.words.extend(order.into_iter().flat_map(|order| order.words));
                let text = format!(
                    "Job {} does not hear you at once: {}. It is told with its next prompt.",
                    self.job.id,
                    report::theirs(why)
                );
                let deliveries = self.delivery(&format!("kept:{answers}"), &text).into_iter().collect();
                Ok(self.store(Stored { deliveries, ..Stored::default() }).await?)
            }
            CoderCommand::Prompt { .. } => {
                if let Err(error) = hand.end_program().await {
                    tracing::debug!(job = %self.job.id, %error, "a program that takes no prompt cannot be ended");
                }
                if let Some(order) = &mut self.job.memory.order {
                    order.before = None;
                }
                self.save().await?;
                Err(JobTrouble::passing(format!("it took no prompt: {why}")).into())
            }
            CoderCommand::Interrupt | CoderCommand::Answer { .. } | CoderCommand::Close => {
                Ok(self.told(&command).await?)
            }
        }
    }

    /// Gives the coding agent what the owner said, as long as its turn runs. Whatever it cannot be told now keeps its order and
    /// goes with the next prompt.
    pub(super) async fn steer(&mut self, hand: &mut dyn Hand) -> Result<(), Broken> {
        if hand.is_our_own() {
            // Its turn takes them by itself.
            return Ok(());
        }
        while self.job.memory.ending.is_none() && self.job.memory.words.is_empty() && hand.is_busy() {
            let (Some(row), Some(turn)) = (self.waiting()?.into_iter().next(), self.job.turn) else { return Ok(()) };
            let command = CoderCommand::Steer { text: row.text.clone() };
            let mut told = order(&mut self.job, &command, vec![row.text]);
            told.before = Some(hand.commands());
            self.job.memory.order = Some(told);
            let inbox = row.id;
            self.commit(move |tx, _| tx.take_inbox(turn, inbox)).await?;
            self.give_order(hand).await?;
        }
        Ok(())
    }

    /// Notes how far the records were taken in.
    pub(super) fn heard(&mut self, hand: &dyn Hand, said: &Said) {
        if hand.is_our_own() {
            self.job.memory.heard = said.record;
        } else {
            self.job.cursor = store::JobCursor { record: said.record, item: said.item };
            self.job.memory.record_at = said.at;
        }
    }

    /// Takes in what the coding agent said until now. What it used and did counts; that its turn ended does not, nor does what it
    /// asked for. Where its conversation was left, what it used is counted on from there.
    pub(super) async fn absorb(&mut self, hand: &mut dyn Hand) -> Result<(), StoreError> {
        self.text.clear();
        let mut is_stored = self.job.memory.asked.is_empty();
        while let Some(said) = hand.unheard().await {
            is_stored = false;
            self.heard(hand, &said);
            let is_left = self.job.memory.left.is_some();
            match said.event {
                CoderEvent::TextDelta { .. } | CoderEvent::Finished { .. } | CoderEvent::PermissionAsked(_) => {}
                CoderEvent::Started { .. } if is_left => {}
                event => {
                    let stored = self.taken_late(&event, hand.is_our_own());
                    self.commit(stored.write()).await?;
                }
            }
        }
        for (permission, record) in std::mem::take(&mut self.job.memory.asked) {
            self.shop.withdraw(&self.job, &permission, record).await;
        }
        if is_stored { Ok(()) } else { self.save().await }
    }

    fn taken_late(&mut self, event: &CoderEvent, is_our_own: bool) -> Stored {
        let memory = &mut self.job.memory;
        if let Some(left) = &mut memory.left {
            std::mem::swap(left, &mut memory.counted);
        }
        let taken = take::take(&mut self.job, event, &self.core.vault.redactor());
        let memory = &mut self.job.memory;
        if let Some(left) = &mut memory.left {
            std::mem::swap(left, &mut memory.counted);
        }
        Stored { events: taken.events, used: taken.used.filter(|_| !is_our_own), ..Stored::default() }
    }

    /// Forgets the conversation: the next prompt begins a new one.
    pub(super) fn begin_anew(&mut self) {
        forget_conversation(&mut self.job);
    }
}

/// Forgets a job's conversation. What its records still hold is counted on from what was counted.
pub(super) fn forget_conversation(job: &mut Job) {
    let memory = &mut job.memory;
    memory.left.get_or_insert(memory.counted);
    memory.conversation = None;
    memory.fresh = String::new();
    memory.counted = JobUse::default();
}

/// A random UUID (version 4), by which a new conversation may be called.
pub(super) fn fresh() -> String {
    let mut bytes = [0_u8; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Coding agents that get the same one twice refuse it, and the job tries again.
        tracing::error!(%error, "the system gives no random numbers");
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
