//! Counting the bytes of one request and of one day against a rule's caps. Bounded by the number of rules. Must not keep
//! anything across a restart by itself: who wants that gives a [`Tally`] of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use types::Clock;

use crate::{
    deny::DenyReason,
    rules::{Caps, RuleId},
};

/// Bytes in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Sent.
    pub up: u64,
    /// Received.
    pub down: u64,
}

/// What each rule of one workspace moved today.
pub trait Tally: Send + Sync {
    /// What the rule moved on the present day (UTC).
    fn today(&self, rule: &RuleId) -> Moved;
    /// Adds to it.
    fn add(&self, rule: &RuleId, moved: Moved);
}

/// A tally in memory.
pub struct DayTally {
    clock: Arc<dyn Clock>,
    day: Mutex<(i64, BTreeMap<RuleId, Moved>)>,
}

impl DayTally {
    /// An empty tally.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, day: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<RuleId, Moved>) -> T) -> T {
        let today = self.clock.now().day();
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        if day.0 != today {
            *day = (today, BTreeMap::new());
        }
        act(&mut day.1)
    }
}

impl Tally for DayTally {
    fn today(&self, rule: &RuleId) -> Moved {
        self.with(|rules| rules.get(rule).copied().unwrap_or_default())
    }

    fn add(&self, rule: &RuleId, moved: Moved) {
        self.with(|rules| {
            let sum = rules.entry(rule.clone()).or_default();
            sum.up = sum.up.saturating_add(moved.up);
            sum.down = sum.down.saturating_add(moved.down);
        });
    }
}

/// Counts the bytes of one request. Ask it before each piece goes on.
pub struct Meter {
    rule: RuleId,
    caps: Caps,
    up: AtomicU64,
    down: AtomicU64,
    tally: Arc<dyn Tally>,
}

impl Meter {
    pub(crate) fn new(rule: RuleId, caps: Caps, tally: Arc<dyn Tally>) -> Self {
        Self { rule, caps, up: AtomicU64::new(0), down: AtomicU64::new(0), tally }
    }

    /// Counts `bytes` to be sent. An error means that they must not be.
    pub fn send(&self, bytes: u64) -> Result<(), DenyReason> {
        let total = self.up.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.tally.add(&self.rule, Moved { up: bytes, down: 0 });
        let today = self.tally.today(&self.rule).up;
        self.check(total, today, (self.caps.up, self.caps.up_day), "send")
    }

    /// Counts `bytes` that were received. An error means that they must not go further.
    pub fn receive(&self, bytes: u64) -> Result<(), DenyReason> {
        let total = self.down.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.tally.add(&self.rule, Moved { up: 0, down: bytes });
        let today = self.tally.today(&self.rule).down;
        self.check(total, today, (self.caps.down, self.caps.down_day), "receive")
    }

    /// The most that the request may send.
    pub fn most_up(&self) -> u64 {
        self.caps.up
    }

    /// What this request moved so far.
    pub fn moved(&self) -> Moved {
        Moved { up: self.up.load(Ordering::Relaxed), down: self.down.load(Ordering::Relaxed) }
    }

    fn check(&self, total: u64, today: u64, most: (u64, u64), direction: &'static str) -> Result<(), DenyReason> {
        if total > most.0 {
            return Err(DenyReason::TooMuch { rule: self.rule.clone(), most: most.0, direction });
        }
        if today > most.1 {
            return Err(DenyReason::DayUsedUp { rule: self.rule.clone(), most: most.1, direction });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("rule", &self.rule).field("moved", &self.moved()).finish_non_exhaustive()
    }
}
