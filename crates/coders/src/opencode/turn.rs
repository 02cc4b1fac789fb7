//! When a turn of opencode is over, and how it ended. Owns the rules; must not know lines.
//!
//! `session.idle` alone does not say it: after an error or an abort it comes twice, and the second may come when the next turn
//! has been asked for. A turn is over when the server is idle, every prompt of ours was taken up, and the server was at work
//! since.

use std::collections::VecDeque;

use crate::{CoderEnd, Trouble};

/// Prompts under way at once.
const MAX_PROMPTS: usize = 64;

/// The turn that runs, or ran last.
#[derive(Debug, Default)]
pub(super) struct Turn {
    busy: bool,
    /// Prompts that were sent and have not shown up in the conversation.
    sent: VecDeque<u64>,
    count: u64,
    /// Whether the server said that it works, after the last prompt was taken up.
    began: bool,
    /// Nothing may run until something is said: we interrupted it.
    pub halted: bool,
    /// Why we ended it by ourselves.
    given_up: Option<(Trouble, String)>,
    failure: Option<(Trouble, String)>,
    aborted: bool,
    /// Why the model stopped last.
    reason: Option<String>,
    /// Whether its last answer broke off. opencode takes it for whole and asks on, which vendors may refuse for reasons that
    /// have nothing to do with it.
    broke_off: bool,
}

impl Turn {
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Something is said to it. Gives the number of the prompt; none when too many are under way.
    pub fn say(&mut self) -> Option<u64> {
        if self.sent.len() >= MAX_PROMPTS {
            return None;
        }
        if !self.busy {
            let count = self.count;
            *self = Self { busy: true, count, ..Self::default() };
        }
        self.halted = false;
        self.count += 1;
        self.sent.push_back(self.count);
        Some(self.count)
    }

    /// A prompt of ours showed up in the conversation.
    pub fn taken_up(&mut self) {
        if self.sent.pop_front().is_some() {
            // It is taken up a moment before work on it begins, and an end of the turn before may be told in between.
            self.began = false;
            self.reason = None;
        }
    }

    /// The server refused a prompt. The turn is over if nothing else is under way.
    pub fn refused(&mut self, prompt: u64, trouble: Trouble, message: String) {
        self.sent.retain(|sent| *sent != prompt);
        self.failure = Some((trouble, message));
    }

    /// Whether a prompt of ours is under way that the server has not taken up.
    pub fn is_waiting(&self) -> bool {
        !self.sent.is_empty()
    }

    pub fn works(&mut self) {
        self.began = true;
    }

    /// Whether an idle server means that the turn is over.
    pub fn is_over_when_idle(&self) -> bool {
        let has_answered = self.reason.is_some();
        self.busy && self.sent.is_empty() && (self.began || has_answered || self.failure.is_some() || self.aborted)
    }

    pub fn failed(&mut self, trouble: Trouble, message: String) {
        self.failure = Some((trouble, message));
    }

    pub fn was_aborted(&mut self) {
        self.aborted = true;
    }

    pub fn give_up(&mut self, trouble: Trouble, message: String) {
        self.given_up.get_or_insert((trouble, message));
    }

    /// The model answered: what failed before was overcome.
    pub fn step_ended(&mut self, reason: &str) {
        self.failure = None;
        self.broke_off = reason == "unknown";
        self.reason = Some(reason.to_owned());
    }

    /// Ends the turn and says how.
    pub fn end(&mut self, text: &str) -> CoderEnd {
        self.busy = false;
        let failed = |trouble, message: &str| CoderEnd::Failed { trouble, message: message.to_owned() };
        if let Some((trouble, message)) = self.given_up.take() {
            return CoderEnd::Failed { trouble, message };
        }
        if self.halted || self.aborted {
            return CoderEnd::Interrupted;
        }
        if let Some((trouble, message)) =
            self.failure.take().filter(|(trouble, _)| !(self.broke_off && *trouble == Trouble::Other))
        {
            return CoderEnd::Failed { trouble, message };
        }
        match self.reason.as_deref() {
            Some("stop") if text.trim().is_empty() => failed(Trouble::Server, "the model's answer was empty"),
            Some("stop") => CoderEnd::Done { text: text.to_owned() },
            Some("length") => failed(Trouble::Other, "the model's answer was cut by its limit of output"),
            Some("content-filter") => failed(Trouble::Refused, "the vendor's filter stopped the answer"),
            Some("tool-calls") => failed(Trouble::Other, "it stopped after a tool, without an answer"),
            Some(_) => failed(Trouble::Server, "the model's answer broke off"),
            None => failed(Trouble::Crashed, "it stopped without an answer"),
        }
    }
}
