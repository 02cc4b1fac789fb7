//! A home, a daemon, a messenger that records and a model that follows a script.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use channels::{
    Ack, Channel, ChannelError, ChannelErrorKind, ChannelStatus, Delivered, Inbound, InboundKind, Limits, Outbound,
    Polling, ReceiveEnd, RemoteId, Sender, TextUnit,
};
use daemon::{Config, Daemon, Options, SelfTest, client::Client};
use futures_util::stream;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use types::{Block, BoxFuture, ChannelId, ModelEvent, ModelReply, ModelRequest, Provider, StopReason, Usage};

/// The owner's id on the messenger.
pub const OWNER: &str = "42";
/// Somebody whom the owner allowed.
pub const GUEST: &str = "7";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A messenger that records what is sent and gives what the test says.
pub struct FakeChannel {
    id: ChannelId,
    limits: Limits,
    sent: Mutex<Vec<(String, Outbound)>>,
    failures: Mutex<VecDeque<ChannelError>>,
    changed: Notify,
    inbound: Mutex<Option<mpsc::Receiver<Delivered<Inbound>>>>,
    push: mpsc::Sender<Delivered<Inbound>>,
}

impl FakeChannel {
    pub fn new() -> Arc<Self> {
        let limits = Limits {
            max_text: 1_000,
            unit: TextUnit::Utf16,
            edits: false,
            drafts: false,
            buttons: true,
            min_edit_interval: Duration::from_secs(1),
            min_draft_interval: Duration::from_secs(1),
            typing_every: None,
        };
        let (push, inbound) = mpsc::channel(16);
        Arc::new(Self {
            id: ChannelId::new("fake", "home"),
            limits,
            sent: Mutex::default(),
            failures: Mutex::default(),
            changed: Notify::new(),
            inbound: Mutex::new(Some(inbound)),
            push,
        })
    }

    /// The same without buttons.
    pub fn without_buttons() -> Arc<Self> {
        let mut channel = Arc::into_inner(Self::new()).unwrap();
        channel.limits.buttons = false;
        Arc::new(channel)
    }

    /// The next attempt to send fails like this.
    pub fn fail(&self, error: ChannelError) {
        self.failures.lock().unwrap().push_back(error);
    }

    /// Everything that was sent, as text.
    pub fn texts(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|(_, outbound)| text_of(outbound)).collect()
    }

    /// The buttons of the latest message that has some.
    pub fn buttons(&self) -> Vec<channels::Button> {
        let sent = self.sent.lock().unwrap();
        let found = sent.iter().rev().find_map(|(_, outbound)| match outbound {
            Outbound::Buttons { buttons, .. } => Some(buttons.clone()),
            Outbound::Edit { buttons, .. } if !buttons.is_empty() => Some(buttons.clone()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// Waits until a text with `part` was sent.
    pub async fn wait_for(&self, part: &str) -> String {
        let found = async {
            loop {
                let changed = self.changed.notified();
                if let Some(text) = self.texts().into_iter().find(|text| text.contains(part)) {
                    return text;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(text) => text,
            Err(_) => panic!("`{part}` was not sent; sent were {:#?}", self.texts()),
        }
    }

    /// Something arrives. Returns once it is confirmed; false when it was dropped.
    pub async fn receive(&self, item: Inbound) -> bool {
        let (ack, confirmed): (Ack, oneshot::Receiver<()>) = Ack::new();
        self.push.send(Delivered { item, ack }).await.unwrap();
        tokio::time::timeout(PATIENCE, confirmed).await.unwrap().is_ok()
    }

    /// The owner writes.
    pub async fn say(&self, remote_id: &str, text: &str) -> bool {
        self.receive(message(remote_id, OWNER, text)).await
    }
}

fn text_of(outbound: &Outbound) -> String {
    match outbound {
        Outbound::Text { markdown } | Outbound::Buttons { markdown, .. } | Outbound::Draft { markdown, .. } => {
            markdown.clone()
        }
        Outbound::Edit { remote_id, markdown, .. } => format!("edit {remote_id}: {markdown}"),
        Outbound::Typing => "typing".to_owned(),
        Outbound::AnswerButton { text, .. } => format!("pressed: {text}"),
    }
}

/// A message in words in a private chat.
pub fn message(remote_id: &str, user: &str, text: &str) -> Inbound {
    Inbound {
        remote_id: remote_id.to_owned(),
        sender: Sender { user: user.to_owned(), name: "Ann".to_owned() },
        chat: user.to_owned(),
        private: true,
        kind: InboundKind::Text { text: text.to_owned() },
        edited: false,
        forwarded: false,
        from_bot: false,
    }
}

impl Channel for FakeChannel {
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
        to: mpsc::Sender<Delivered<Inbound>>,
        _cursor: Option<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, ReceiveEnd> {
        Box::pin(async move {
            let Some(mut inbound) = self.inbound.lock().unwrap().take() else { return ReceiveEnd::Closed };
            let end = loop {
                tokio::select! {
                    () = cancel.cancelled() => break ReceiveEnd::Cancelled,
                    item = inbound.recv() => match item {
                        Some(item) => if to.send(item).await.is_err() { break ReceiveEnd::Closed },
                        None => break ReceiveEnd::Closed,
                    },
                }
            };
            *self.inbound.lock().unwrap() = Some(inbound);
            end
        })
    }

    fn send<'a>(
        &'a self,
        target: &'a str,
        outbound: Outbound,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<RemoteId, ChannelError>> {
        Box::pin(async move {
            if let Some(error) = self.failures.lock().unwrap().pop_front() {
                return Err(error);
            }
            let mut sent = self.sent.lock().unwrap();
            sent.push((target.to_owned(), outbound));
            let number = sent.len();
            drop(sent);
            self.changed.notify_waiters();
            Ok(RemoteId(number.to_string()))
        })
    }
}

/// A transient failure.
pub fn transient() -> ChannelError {
    ChannelError::new(ChannelErrorKind::Transient, "the line is down")
}

type Brain = Box<dyn Fn(&str) -> Vec<Block> + Send + Sync>;

/// A model that answers by a function of the last user text, and can be held up.
pub struct FakeModel {
    brain: Brain,
    asked: Mutex<Vec<String>>,
    /// While true, requests hang until they are cancelled or dropped.
    pub hangs: std::sync::atomic::AtomicBool,
    /// While true, the next request panics.
    pub panics: std::sync::atomic::AtomicBool,
}

impl FakeModel {
    /// A model that says `heard: ` and what it heard.
    pub fn echo() -> Arc<Self> {
        Self::new(|text| vec![Block::text(format!("heard: {text}"))])
    }

    pub fn new(brain: impl Fn(&str) -> Vec<Block> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { brain: Box::new(brain), asked: Mutex::default(), hangs: false.into(), panics: false.into() })
    }

    /// The last text of each request.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// What the last message says: its texts and tool results.
fn last_words(request: &ModelRequest) -> String {
    let Some(last) = request.messages.last() else { return String::new() };
    let words: Vec<&str> = last
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            Block::ToolResult { content, .. } => Some(content.as_str()),
            _ => None,
        })
        .collect();
    words.join("\n")
}

impl Provider for FakeModel {
    fn stream(
        &self,
        request: ModelRequest,
        _cancel: CancellationToken,
    ) -> futures_util::stream::BoxStream<'static, ModelEvent> {
        let words = last_words(&request);
        self.asked.lock().unwrap().push(words.clone());
        if self.hangs.load(std::sync::atomic::Ordering::SeqCst) {
            return Box::pin(stream::pending());
        }
        let blocks = (self.brain)(&words);
        let panics = self.panics.swap(false, std::sync::atomic::Ordering::SeqCst);
        assert!(!panics, "the test asked for a panic");
        let calls = blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
        let stop = if calls { StopReason::ToolUse } else { StopReason::EndTurn };
        let usage = Usage { input: 10, output: 5, ..Usage::default() };
        Box::pin(stream::iter([ModelEvent::Finished(ModelReply { blocks, stop, usage })]))
    }
}

/// A daemon with its surroundings.
pub struct Scene {
    pub home: TempDir,
    pub channel: Arc<FakeChannel>,
    pub model: Arc<FakeModel>,
    pub daemon: Daemon,
}

impl Scene {
    pub async fn start() -> Self {
        Self::with(FakeModel::echo()).await
    }

    pub async fn with(model: Arc<FakeModel>) -> Self {
        Self::again(tempfile::tempdir().unwrap(), FakeChannel::new(), model).await
    }

    /// Starts on a home that may have been used before.
    pub async fn again(home: TempDir, channel: Arc<FakeChannel>, model: Arc<FakeModel>) -> Self {
        let daemon = Daemon::start(options(home.path(), &channel, &model)).await.unwrap();
        Self { home, channel, model, daemon }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.home.path()).await.unwrap()
    }
}

pub fn options(home: &Path, channel: &Arc<FakeChannel>, model: &Arc<FakeModel>) -> Options {
    let mut options = Options::new(home);
    options.config = Some(Config::parse("[api]\nlisten = \"127.0.0.1:0\"\n", Path::new("config.toml")).unwrap());
    options.self_test = SelfTest::Off;
    options.provider = Some(model.clone());
    options.channels = vec![(channel.clone(), vec![OWNER.to_owned(), GUEST.to_owned()])];
    options
}
