//! The door of the TCP API: which token is in force, how many wrong ones are looked at, and what is recorded of those who
//! knock. Loopback is no credential: every program on this machine can connect.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use serde_json::json;
use store::audit::{AuditEntry, AuditKind};
use tokio::{sync::watch, time::Instant};
use types::{Event, Failure, Level};

use super::auth::Token;
use crate::{
    Home,
    core::Core,
    failure::{internal, stored},
};

/// So many wrong tokens are looked at within [`WINDOW`].
const MOST_WRONG: usize = 10;
/// See [`MOST_WRONG`].
const WINDOW: Duration = Duration::from_secs(60);
/// Logins and refusals are recorded in one record for so long, so that knocking cannot fill the disk.
const GATHERED: Duration = Duration::from_secs(60);
/// The owner is told of guessing no more often than this.
const ALARM_EVERY: Duration = Duration::from_secs(3_600);

/// What decides who may use the TCP API.
#[derive(Debug)]
pub(crate) struct Access {
    token: RwLock<Token>,
    /// How often the token was replaced. Streams end when it moves on.
    generation: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the latest wrong tokens were seen, oldest first.
    wrong: VecDeque<Instant>,
    alarmed: Option<Instant>,
    tally: Tally,
}

/// What has not been recorded yet.
#[derive(Debug, Default)]
struct Tally {
    /// Somebody will record it.
    is_watched: bool,
    counts: BTreeMap<Knock, u64>,
}

/// How somebody came to the door, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Knock {
    /// A connection showed the token.
    Admitted,
    /// No token, or a wrong one.
    WrongToken,
    /// After too many wrong tokens none was looked at.
    TooMany,
    /// The request named another host.
    ForeignHost,
    /// The request came from another page.
    ForeignPage,
}

impl Access {
    /// The door with the home's token.
    pub fn open(home: &Home) -> Result<Self, crate::HomeError> {
        let token = RwLock::new(Token::open(home)?);
        Ok(Self { token, generation: watch::Sender::new(0), state: Mutex::default() })
    }

    /// Whether a header shows the token in force.
    pub(super) fn admits(&self, header: Option<&str>) -> bool {
        self.token.read().unwrap_or_else(PoisonError::into_inner).admits(header)
    }

    /// The number of the token in force, and how to learn that there is another.
    pub(super) fn generation(&self) -> Generation {
        let changes = self.generation.subscribe();
        let admitted = *changes.borrow();
        Generation { admitted, changes }
    }

    /// How long wrong tokens are not looked at any more; none while they are.
    pub(super) fn is_tired(&self) -> Option<Duration> {
        let mut state = self.state();
        let now = Instant::now();
        state.forget(now);
        let first = state.wrong.front().filter(|_| state.wrong.len() >= MOST_WRONG)?;
        Some(WINDOW.saturating_sub(now - *first))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters are whole after a panic as well.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a knock. True when the owner is to be told that somebody guesses.
    fn count(&self, knock: Knock) -> Counted {
        let mut state = self.state();
        let now = Instant::now();
        *state.tally.counts.entry(knock).or_default() += 1;
        let is_first = !std::mem::replace(&mut state.tally.is_watched, true);
        let mut alarm = false;
        if knock == Knock::WrongToken {
            state.forget(now);
            state.wrong.push_back(now);
            alarm = state.wrong.len() == MOST_WRONG && state.alarmed.is_none_or(|at| now - at >= ALARM_EVERY);
            if alarm {
                state.alarmed = Some(now);
            }
        }
        Counted { is_first, alarm }
    }

    fn take_counts(&self) -> BTreeMap<Knock, u64> {
        std::mem::take(&mut self.state().tally.counts)
    }
}

/// What is to be done about a knock.
struct Counted {
    /// Nobody gathers at present.
    is_first: bool,
    alarm: bool,
}

impl State {
    fn forget(&mut self, now: Instant) {
        while self.wrong.front().is_some_and(|at| now - *at >= WINDOW) || self.wrong.len() > MOST_WRONG {
            self.wrong.pop_front();
        }
    }
}

/// Which token a request showed.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    admitted: u64,
    changes: watch::Receiver<u64>,
}

impl Generation {
    /// Whether that token is no longer in force.
    pub fn has_ended(&self) -> bool {
        *self.changes.borrow() != self.admitted
    }

    /// Returns when that token is no longer in force.
    pub async fn is_over(&mut self) {
        let admitted = self.admitted;
        if self.changes.wait_for(|present| *present != admitted).await.is_err() {
            // The door is gone, and with it the daemon; its own end closes the streams.
            std::future::pending::<()>().await;
        }
    }
}

/// Notes a knock: in the log at once if it is the first for a while, else together with those that follow it.
pub(super) fn note(core: &Arc<Core>, knock: Knock) {
    let Counted { is_first, alarm } = core.access.count(knock);
    if is_first {
        let owned = core.clone();
        core.tasks.spawn(async move { gather(&owned).await });
    }
    if alarm {
        let owned = core.clone();
        core.tasks.spawn(async move { raise_alarm(&owned).await });
    }
}

/// Records what there is, and what comes within a while, in two records.
async fn gather(core: &Core) {
    record(core).await;
    tokio::select! {
        () = core.phases.closing.cancelled() => {}
        () = tokio::time::sleep(GATHERED) => {}
    }
    core.access.state().tally.is_watched = false;
    record(core).await;
}

async fn record(core: &Core) {
    let counts = core.access.take_counts();
    if counts.is_empty() {
        return;
    }
    let entry =
        AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Login, detail: json!({ "api": counts }) };
    if let Err(error) = core.store.audit().append(entry).await {
        // Refusals need no record to hold, and what an admitted client does has records of its own.
        tracing::error!(%error, "logins at the API could not be recorded");
    }
}

async fn raise_alarm(core: &Core) {
    let text = format!(
        "{MOST_WRONG} wrong tokens were tried at the API within a minute; no more are looked at for a while. Some program \
         on this machine is guessing: look for it, and replace the token with `factotum api rotate` if it may be known."
    );
    let notice = Event::Notice { level: Level::Warning, text };
    if let Err(error) = core.store.transact(move |tx| tx.record(None, None, notice).map(|_| ())).await {
        tracing::error!(%error, "the owner could not be told of guessing at the API");
    }
}

/// Puts a new token in force. Requests with the old one are refused from here on, and streams that it opened end.
pub(crate) async fn rotate(core: &Core) -> Result<String, Failure> {
    let detail = json!({ "api_token": "rotated" });
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Login, detail };
    core.store.audit().append(entry).await.map_err(internal)?;
    let token = Token::renew(&core.home).map_err(|error| error.failure())?;
    *core.access.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    core.access.generation.send_modify(|generation| *generation += 1);
    let text = format!("the API has a new token, in {}; the old one is dead", core.home.token().display());
    let notice = Event::Notice { level: Level::Info, text: "the API's token was replaced".to_owned() };
    core.store.transact(move |tx| tx.record(None, None, notice).map(|_| ())).await.map_err(stored)?;
    Ok(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn access() -> (tempfile::TempDir, Access) {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::open(&Home::open(directory.path()).unwrap()).unwrap();
        (directory, access)
    }

    #[tokio::test(start_paused = true)]
    async fn after_ten_wrong_tokens_none_is_looked_at_for_a_minute() {
        let (_home, access) = access();
        for number in 1..=MOST_WRONG {
            assert_eq!(access.is_tired(), None, "{number}");
            assert_eq!(access.count(Knock::WrongToken).alarm, number == MOST_WRONG);
        }
        assert_eq!(access.is_tired(), Some(WINDOW));
        access.count(Knock::TooMany);
        tokio::time::advance(WINDOW - Duration::from_millis(1)).await;
        assert!(access.is_tired().is_some(), "asking again must not reset it, nor end it");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(access.is_tired(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_owner_is_not_told_more_than_once_an_hour() {
        let (_home, access) = access();
        let mut alarms = 0;
        for _ in 0..59 {
            alarms += (0..MOST_WRONG).filter(|_| access.count(Knock::WrongToken).alarm).count();
            tokio::time::advance(WINDOW).await;
        }
        assert_eq!(alarms, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn knocks_are_counted_in_few_records() {
        let (_home, access) = access();
        assert!(access.count(Knock::WrongToken).is_first);
        for _ in 0..1_000 {
            assert!(!access.count(Knock::TooMany).is_first);
        }
        assert_eq!(access.take_counts(), [(Knock::WrongToken, 1), (Knock::TooMany, 1_000)].into());
        assert!(access.take_counts().is_empty());
    }
}
