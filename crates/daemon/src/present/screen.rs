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
                Outbound::Edit { remote_id: remote_id.clone(), markdown: self.fit(&text), buttons: Vec::new() }
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
            let outbound =
                Outbound::Edit { remote_id: remote_id.clone(), markdown: record.to_owned(), buttons: Vec::new() };
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Mutex;

    use channels::{ChannelError, ChannelStatus, Delivered, Inbound, Limits, Polling, ReceiveEnd, TextUnit};
    use tokio::sync::mpsc;
    use types::{BoxFuture, ChannelId};

    use super::*;

    /// Records what is sent, with the time since the beginning in milliseconds.
    struct Fake {
        id: ChannelId,
        limits: Limits,
        begun: Instant,
        sent: Mutex<Vec<(u64, Outbound)>>,
        refuse: Mutex<Vec<ChannelErrorKind>>,
    }

    impl Fake {
        fn new(drafts: bool) -> Arc<Self> {
            let limits = Limits {
                max_text: 4096,
                unit: TextUnit::Utf16,
                edits: true,
                drafts,
                buttons: true,
                min_edit_interval: Duration::from_secs(3),
                min_draft_interval: Duration::from_secs(1),
                typing_every: None,
            };
            let (id, begun) = (ChannelId::new("fake", "home"), Instant::now());
            Arc::new(Self { id, limits, begun, sent: Mutex::default(), refuse: Mutex::default() })
        }

        fn texts(&self) -> Vec<(u64, String)> {
            let sent = self.sent.lock().unwrap();
            let text = |outbound: &Outbound| match outbound {
                Outbound::Text { markdown } => format!("text {markdown}"),
                Outbound::Edit { remote_id, markdown, .. } => format!("edit {remote_id} {markdown}"),
                Outbound::Draft { markdown, .. } => format!("draft {markdown}"),
                Outbound::Buttons { .. } | Outbound::Typing | Outbound::AnswerButton { .. } => format!("{outbound:?}"),
            };
            sent.iter().map(|(at, outbound)| (*at, text(outbound))).collect()
        }
    }

    impl Channel for Fake {
        fn id(&self) -> &ChannelId {
            &self.id
        }

        fn limits(&self) -> &Limits {
            &self.limits
        }

        fn status(&self) -> ChannelStatus {
            let polling = Polling::Receiving;
            ChannelStatus { polling, account: None, last_success: None, last_error: None, rebuilt: 0 }
        }

        fn receive(
            self: Arc<Self>,
            _to: mpsc::Sender<Delivered<Inbound>>,
            _cursor: Option<String>,
            _cancel: CancellationToken,
        ) -> BoxFuture<'static, ReceiveEnd> {
            Box::pin(async { ReceiveEnd::Closed })
        }

        fn send<'a>(
            &'a self,
            _target: &'a str,
            outbound: Outbound,
            _cancel: CancellationToken,
        ) -> BoxFuture<'a, Result<RemoteId, ChannelError>> {
            if let Some(kind) = self.refuse.lock().unwrap().pop() {
                return Box::pin(async move { Err(ChannelError::new(kind, "refused")) });
            }
            let at = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
            self.sent.lock().unwrap().push((at, outbound));
            Box::pin(async { Ok(RemoteId("7".to_owned())) })
        }
    }

    #[derive(Default)]
    struct FakeMemory(Arc<Mutex<Vec<String>>>);

    impl Memory for FakeMemory {
        fn recall(&self) -> Option<String> {
            self.0.lock().unwrap().last().cloned()
        }

        async fn keep(&self, remote: String) -> bool {
            self.0.lock().unwrap().push(remote);
            true
        }
    }

    fn screen(fake: &Arc<Fake>, memory: FakeMemory) -> Screen<FakeMemory> {
        Screen::new(fake.clone(), "42".to_owned(), TurnId(9), memory, CancellationToken::new())
    }

    /// Wants a state every 200 ms for so many times, and draws when it is due.
    async fn stream(screen: &mut Screen<FakeMemory>, times: u32) {
        for number in 0..times {
            screen.want(Some(format!("state {number}")));
            let until = Instant::now() + Duration::from_millis(200);
            while let Some(due) = screen.due().filter(|due| *due <= until) {
                tokio::time::sleep_until(due).await;
                screen.draw().await;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_sent_once_and_edited_at_the_messengers_pace() {
        let fake = Fake::new(false);
        let mut screen = screen(&fake, FakeMemory::default());
        stream(&mut screen, 40).await;
        screen.close("done in 1 step").await;
        let texts = fake.texts();
        assert_eq!(texts[0], (0, "text state 0".to_owned()));
        let last = texts.len() - 1;
        for pair in texts[..last].windows(2) {
            assert!(pair[1].0 - pair[0].0 >= 3_000, "{pair:?}");
        }
        assert!(texts[1..].iter().all(|(_, text)| text.starts_with("edit 7 ")), "{texts:?}");
        assert_eq!(texts[last].1, "edit 7 done in 1 step");
        assert_eq!(texts.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn drafts_have_their_own_pace_and_leave_nothing() {
        let fake = Fake::new(true);
        let mut screen = screen(&fake, FakeMemory::default());
        stream(&mut screen, 9).await;
        screen.close("done").await;
        let texts = fake.texts();
        assert_eq!(texts.len(), 2);
        assert!(texts.iter().all(|(_, text)| text.starts_with("draft ")), "{texts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_drafts_gets_edits() {
        let fake = Fake::new(true);
        fake.refuse.lock().unwrap().push(ChannelErrorKind::Unsupported);
        let mut screen = screen(&fake, FakeMemory::default());
        stream(&mut screen, 20).await;
        let texts = fake.texts();
        assert!(texts[0].1.starts_with("text "), "{texts:?}");
        assert!(texts[1].1.starts_with("edit 7 "), "{texts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_is_waited_for() {
        let fake = Fake::new(true);
        let retry_after = Duration::from_secs(5);
        fake.refuse.lock().unwrap().push(ChannelErrorKind::RateLimited { retry_after });
        let mut screen = screen(&fake, FakeMemory::default());
        stream(&mut screen, 30).await;
        assert!(fake.texts()[0].0 >= 5_000, "{:?}", fake.texts());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_restart_the_same_message_is_edited_or_none() {
        let fake = Fake::new(false);
        let known = FakeMemory(Arc::new(Mutex::new(vec!["77".to_owned()])));
        stream(&mut screen(&fake, known), 1).await;
        assert_eq!(fake.texts(), [(0, "edit 77 state 0".to_owned())]);
        let unknown = FakeMemory(Arc::new(Mutex::new(vec![UNDER_WAY.to_owned()])));
        stream(&mut screen(&fake, unknown), 1).await;
        assert_eq!(fake.texts().len(), 1, "nobody knows whether the message exists, so no other is sent");
    }
}
