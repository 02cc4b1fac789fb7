//! Sends no faster than Telegram allows: about one message a second to a chat, thirty a second in all. Short bursts
//! are free. What the server itself says about waiting counts more.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{ChannelError, ChannelErrorKind};

const CHAT_BURST: f64 = 5.0;
const CHAT_PER_SECOND: f64 = 1.0;
const ALL_BURST: f64 = 30.0;
const ALL_PER_SECOND: f64 = 30.0;
/// The most chats that are remembered. Beyond this those that are at rest are forgotten.
const MAX_CHATS: usize = 1024;
/// The longest that a message waits here; after that its keeper waits.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How a call counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// A message or an edit: waits for its turn.
    Message,
    /// Something that is worthless later, such as a draft: is refused when it would have to wait.
    Passing,
}

struct Bucket {
    tokens: f64,
    at: Instant,
    blocked_until: Instant,
    burst: f64,
    per_second: f64,
}

impl Bucket {
    fn new(burst: f64, per_second: f64, now: Instant) -> Self {
        Self { tokens: burst, at: now, blocked_until: now, burst, per_second }
    }

    /// How long until there is a token.
    fn wait(&mut self, now: Instant) -> Duration {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = now;
        let blocked = self.blocked_until.saturating_duration_since(now);
        let missing = (1.0 - self.tokens).max(0.0) / self.per_second;
        blocked.max(Duration::from_secs_f64(missing))
    }

    fn is_at_rest(&mut self, now: Instant) -> bool {
        self.wait(now).is_zero() && self.tokens >= self.burst
    }
}

struct Buckets {
    all: Bucket,
    chats: BTreeMap<i64, Bucket>,
}

impl Buckets {
    fn chat(&mut self, chat: i64, now: Instant) -> &mut Bucket {
        if self.chats.len() >= MAX_CHATS && !self.chats.contains_key(&chat) {
            self.chats.retain(|_, bucket| !bucket.is_at_rest(now));
        }
        if self.chats.len() >= MAX_CHATS && !self.chats.contains_key(&chat) {
            self.chats.pop_first();
        }
        self.chats.entry(chat).or_insert_with(|| Bucket::new(CHAT_BURST, CHAT_PER_SECOND, now))
    }
}

/// The rates of one bot.
pub(super) struct Pacing(Mutex<Buckets>);

impl Default for Pacing {
    fn default() -> Self {
        let all = Bucket::new(ALL_BURST, ALL_PER_SECOND, Instant::now());
        Self(Mutex::new(Buckets { all, chats: BTreeMap::new() }))
    }
}

impl Pacing {
    /// Waits until something may be sent to `chat`. Fails with how long it would take when that is too long.
    pub(super) async fn turn(&self, chat: i64, weight: Weight, cancel: &CancellationToken) -> Result<(), ChannelError> {
        let started = Instant::now();
        loop {
            let wait = self.take(chat, weight);
            if wait.is_zero() {
                return Ok(());
            }
            let patience = match weight {
                Weight::Message => MAX_WAIT.saturating_sub(started.elapsed()),
                Weight::Passing => Duration::ZERO,
            };
            if wait > patience {
                let kind = ChannelErrorKind::RateLimited { retry_after: wait };
                return Err(ChannelError::new(kind, "too much was sent to this chat; waiting as Telegram asks"));
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(ChannelError::new(ChannelErrorKind::Cancelled, "cancelled")),
                () = sleep(wait) => {}
            }
        }
    }

    /// Notes that the server wants nothing for `chat` for a while.
    pub(super) fn block(&self, chat: i64, wait: Duration) {
        let now = Instant::now();
        self.buckets().chat(chat, now).blocked_until = now + wait;
    }

    /// Takes a token from both buckets if both have one, else says how long to wait.
    fn take(&self, chat: i64, weight: Weight) -> Duration {
        let now = Instant::now();
        let mut buckets = self.buckets();
        let all = buckets.all.wait(now);
        let bucket = buckets.chat(chat, now);
        let wait = match weight {
            Weight::Message => bucket.wait(now).max(all),
            // Drafts have a rate of their own; only a block by the server stops them.
            Weight::Passing => bucket.blocked_until.saturating_duration_since(now).max(all),
        };
        if wait.is_zero() {
            if weight == Weight::Message {
                bucket.tokens -= 1.0;
            }
            buckets.all.tokens -= 1.0;
        }
        wait
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        // The state is numbers: a panic elsewhere cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_for(pacing: &Pacing, chat: i64, messages: usize) -> Result<f64, ChannelError> {
        let started = Instant::now();
        for _ in 0..messages {
            pacing.turn(chat, Weight::Message, &CancellationToken::new()).await?;
        }
        Ok(started.elapsed().as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_it_is_one_a_second() -> Result<(), ChannelError> {
        let pacing = Pacing::default();
        assert!(seconds_for(&pacing, 1, 5).await? < 0.01);
        let slow = seconds_for(&pacing, 1, 10).await?;
        assert!((9.9..10.2).contains(&slow), "{slow}");
        assert!(seconds_for(&pacing, 2, 5).await? < 0.01, "another chat does not wait");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn all_chats_together_are_bounded() -> Result<(), ChannelError> {
        let pacing = Pacing::default();
        let started = Instant::now();
        for chat in 0..90 {
            seconds_for(&pacing, chat, 1).await?;
        }
        assert!((1.9..2.2).contains(&started.elapsed().as_secs_f64()), "{:?}", started.elapsed());
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_honoured_and_not_waited_for_without_end() {
        let pacing = Pacing::default();
        pacing.block(1, Duration::from_secs(100));
        let refused = pacing.turn(1, Weight::Message, &CancellationToken::new()).await.map_err(|error| error.kind);
        let retry_after = Duration::from_secs(100);
        assert_eq!(refused, Err(ChannelErrorKind::RateLimited { retry_after }));
        pacing.block(1, Duration::from_secs(7));
        let drafts = pacing.turn(1, Weight::Passing, &CancellationToken::new()).await.map_err(|error| error.kind);
        assert_eq!(drafts, Err(ChannelErrorKind::RateLimited { retry_after: Duration::from_secs(7) }));
        let started = Instant::now();
        assert_eq!(pacing.turn(1, Weight::Message, &CancellationToken::new()).await, Ok(()));
        assert_eq!(started.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_cancellation() {
        let pacing = Pacing::default();
        pacing.block(1, Duration::from_secs(20));
        let cancel = CancellationToken::new();
        let (waited, ()) = tokio::join!(pacing.turn(1, Weight::Message, &cancel), async {
            sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        });
        assert_eq!(waited.map_err(|error| error.kind), Err(ChannelErrorKind::Cancelled));
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_chats_is_bounded() {
        let pacing = Pacing::default();
        for chat in 0..5000 {
            pacing.block(chat, Duration::from_secs(3600));
        }
        assert!(pacing.buckets().chats.len() <= MAX_CHATS);
    }
}
