//! One place in a chat that shows the latest of many states, no faster than the messenger allows.

use std::{sync::Arc, time::Duration};

use channels::{Channel, ChannelErrorKind, Outbound, RemoteId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::TurnId;

/// What stands in the memory while the first message is on its way. Found there after a restart, it means that nobody
/// knows whether the message exists, so no other is sent.
const UNDER_WAY: &str = "?";

/// Where the progress message's number is kept over a restart.
pub(super) trait Memory: Send + Sync {
    /// The number, if one was kept.
    fn recall(&self) -> Option<String>;
    /// Keeps it; false when that failed.
    fn keep(&self, remote: String) -> impl Future<Output = bool> + Send;
}

/// How progress is shown here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// A draft that the answer replaces.
    Draft,
    /// A message that is edited; none until it is sent.
    Message(Option<RemoteId>),
    /// Not at all.
    Off,
}

pub(super) struct Screen<M> {
    channel: Arc<dyn Channel>,
    target: String,
    turn: TurnId,
    memory: M,
    cancel: CancellationToken,
    mode: Mode,
    shown: Option<String>,
    wanted: Option<String>,
    /// Not before this.
    next: Instant,
}

impl<M: Memory> Screen<M> {
    /// A screen for a turn; goes on with the message that a restart left.
    pub fn new(channel: Arc<dyn Channel>, target: String, turn: TurnId, memory: M, cancel: CancellationToken) -> Self {
        let mode = match memory.recall() {
            Some(remote) if remote == UNDER_WAY || remote.is_empty() => Mode::Off,
            Some(remote) => Mode::Message(Some(RemoteId(remote))),
            None if channel.limits().drafts => Mode::Draft,
            None if channel.limits().edits => Mode::Message(None),
            None => Mode::Off,
        };
        Self { channel, target, turn, memory, cancel, mode, shown: None, wanted: None, next: Instant::now() }
    }

    /// How often the typing sign is to be renewed.
    pub fn typing_every(&self) -> Option<Duration> {
        self.channel.limits().typing_every
    }

    /// Shows the typing sign. A failure is not worth a word: it is a sign only.
    pub async fn typing(&self) {
        if self.typing_every().is_some() {
            let _ = self.channel.send(&self.target, Outbound::Typing, self.cancel.clone()).await;
        }
    }

    /// The state to show next, if any.
    pub fn want(&mut self, text: Option<String>) {
        if text.is_some() && text != self.shown {
            self.wanted = text;
        }
    }

    /// When to draw; none while there is nothing to.
    pub fn due(&self) -> Option<Instant> {
        (self.wanted.is_some() && self.mode != Mode::Off).then_some(self.next)
    }

    /// Shows the wanted state.
    pub async fn draw(&mut self) {
        let Some(text) = self.wanted.take() else { return };
        let interval = match &self.mode {
            Mode::Draft => self.channel.limits().min_draft_interval,
            Mode::Message(_) | Mode::Off => self.channel.limits().min_edit_interval,
        };
        // Counted from the beginning of the sending, and once more after it: a slow messenger is not pressed.
        self.next = Instant::now() + interval;
        let outbound = match &self.mode {
            Mode::Draft => Outbound::Draft { draft_id: self.turn.0.max(1), markdown: self.fit(&text) },
            Mode::Message(None) => return self.first(text).await,
            Mode::Message(Some(remote_id)) => {
                Outbound::Edit { remote_id: remote_id.clone(), markdown: self.fit(&text) }
            }
            Mode::Off => return,
        };
        match self.channel.send(&self.target, outbound, self.cancel.clone()).await {
            Ok(_) => self.shown = Some(text),
            Err(error) => self.failed(error.kind, text),
        }
    }

    /// Sends the message that is edited from then on: at most once, whatever happens.
    async fn first(&mut self, text: String) {
        if !self.memory.keep(UNDER_WAY.to_owned()).await {
            self.mode = Mode::Off;
            return;
        }
        let outbound = Outbound::Text { markdown: self.fit(&text) };
        match self.channel.send(&self.target, outbound, self.cancel.clone()).await {
            Ok(remote) => {
                self.memory.keep(remote.0.clone()).await;
                self.shown = Some(text);
                self.mode = Mode::Message(Some(remote));
            }
            Err(_) => self.mode = Mode::Off,
        }
    }

    fn failed(&mut self, kind: ChannelErrorKind, text: String) {
        match kind {
            ChannelErrorKind::RateLimited { retry_after } => {
                self.next = Instant::now() + retry_after;
                self.wanted.get_or_insert(text);
            }
            ChannelErrorKind::Transient => {}
            ChannelErrorKind::Unsupported if self.mode == Mode::Draft => {
                self.mode = Mode::Message(None);
                self.wanted.get_or_insert(text);
            }
            ChannelErrorKind::Unsupported
            | ChannelErrorKind::Permanent
            | ChannelErrorKind::Auth
            | ChannelErrorKind::Cancelled => self.mode = Mode::Off,
        }
    }

    /// Leaves one line where progress was shown. A draft goes away by itself.
    pub async fn close(self, record: &str) {
        let Mode::Message(Some(remote_id)) = self.mode else { return };
        for _ in 0..3 {
            let outbound = Outbound::Edit { remote_id: remote_id.clone(), markdown: record.to_owned() };
            let wait = match self.channel.send(&self.target, outbound, self.cancel.clone()).await {
                Ok(_) => return,
                Err(error) => match error.kind {
                    ChannelErrorKind::RateLimited { retry_after } => retry_after.min(Duration::from_secs(60)),
                    ChannelErrorKind::Transient => Duration::from_secs(2),
                    ChannelErrorKind::Permanent
                    | ChannelErrorKind::Auth
                    | ChannelErrorKind::Unsupported
                    | ChannelErrorKind::Cancelled => return,
                },
            };
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn fit(&self, text: &str) -> String {
        channels::split(text, self.channel.limits()).into_iter().next().unwrap_or_default()
    }
}
