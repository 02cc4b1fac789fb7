//! The seam between the daemon and the messengers. Everything optional is data in [`Limits`], not a method.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, ChannelId};

/// In what a messenger counts the length of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextUnit {
    /// UTF-16 code units.
    Utf16,
    /// Unicode scalar values.
    Chars,
    /// Bytes of UTF-8.
    Bytes,
}

impl TextUnit {
    /// The length of `text` in this unit.
    pub fn measure(self, text: &str) -> usize {
        match self {
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
            Self::Chars => text.chars().count(),
            Self::Bytes => text.len(),
        }
    }
}

/// What a channel can do and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text of one message, counted after rendering.
    pub max_text: usize,
    /// The unit of `max_text`.
    pub unit: TextUnit,
    /// Whether the progress of a turn may be shown by editing a message.
    pub edits: bool,
    /// Whether it may be shown by drafts.
    pub drafts: bool,
    /// Whether messages can carry buttons.
    pub buttons: bool,
    /// The least time between two edits of a message.
    pub min_edit_interval: Duration,
    /// The least time between two states of a draft.
    pub min_draft_interval: Duration,
    /// How often the sign that somebody is typing must be renewed; none when there is no such sign.
    pub typing_every: Option<Duration>,
}

/// Who sent something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The identity that the messenger itself vouches for, such as a numeric id. Never a name that can be chosen.
    pub user: String,
    /// A name for people to read. Chosen by the sender, so it must not be used to decide anything.
    pub name: String,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundKind {
    /// A message in words.
    Text {
        /// The words.
        text: String,
    },
    /// A press of a button under one of our messages.
    Button {
        /// The data that the button carried.
        nonce: String,
        /// What `Outbound::AnswerButton` needs.
        callback_id: String,
        /// The message under which the button is, if the messenger says.
        message: Option<RemoteId>,
    },
    /// Something else, such as a photo. Nothing was fetched.
    Other {
        /// What it is, in a word or two.
        what: String,
        /// The words that came with it, if any.
        caption: Option<String>,
    },
}

/// One thing that was received and names its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The messenger's own number of it: the same one is the same message.
    pub remote_id: String,
    /// Who sent it.
    pub sender: Sender,
    /// Where to answer: the `target` of [`Channel::send`].
    pub chat: String,
    /// True when the sender and the agent are alone in that chat.
    pub private: bool,
    /// What it is.
    pub kind: InboundKind,
    /// True when it is an earlier message that was changed.
    pub edited: bool,
    /// True when the words are not the sender's own: forwarded, sent through an inline bot, or in the name of a chat.
    pub forwarded: bool,
    /// True when the sender is a program.
    pub from_bot: bool,
}

/// The promise that what was received is durable. Dropped without [`Ack::confirm`], it will be received again.
#[derive(Debug)]
pub struct Ack(oneshot::Sender<()>);

impl Ack {
    /// A promise and the end where it is awaited.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Says that it is durable, so that the messenger may forget it.
    pub fn confirm(self) {
        // The receiver is gone when the channel was stopped: then the messenger delivers again, and the inbox knows.
        let _ = self.0.send(());
    }
}

/// Something received, with the means to confirm it.
#[derive(Debug)]
pub struct Delivered<T> {
    /// What was received.
    pub item: T,
    /// Confirms it.
    pub ack: Ack,
}

/// The messenger's number of a message that we sent. Empty where nothing remains to refer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteId(pub String);

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What it shows.
    pub label: String,
    /// What comes back when it is pressed: at most 64 bytes.
    pub data: String,
}

/// What to send. Texts are Markdown of at most [`Limits::max_text`]; see [`crate::split`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// A message.
    Text {
        /// Its text.
        markdown: String,
    },
    /// A message with a row of buttons.
    Buttons {
        /// Its text.
        markdown: String,
        /// The buttons, in order.
        buttons: Vec<Button>,
    },
    /// A new text for a message that we sent, with these buttons in place of those that it had.
    Edit {
        /// Which message.
        remote_id: RemoteId,
        /// Its text.
        markdown: String,
        /// Its buttons, in order; with none, those that it had go away.
        buttons: Vec<Button>,
    },
    /// A message in the making, shown until the real one is sent.
    Draft {
        /// The same for all states of one draft; not zero.
        draft_id: i64,
        /// Its text so far.
        markdown: String,
    },
    /// The sign that an answer is being made.
    Typing,
    /// Ends the waiting of a pressed button.
    AnswerButton {
        /// From [`InboundKind::Button`].
        callback_id: String,
        /// A short text to show, or nothing.
        text: String,
    },
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelErrorKind {
    /// Too much was sent; possible again after a while.
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The way or the other side is disturbed; worth another attempt.
    Transient,
    /// It will never work: the chat is gone, the agent was blocked, the message is refused.
    Permanent,
    /// The messenger does not accept our secret.
    Auth,
    /// The messenger cannot do this.
    Unsupported,
    /// The caller cancelled.
    Cancelled,
}

/// A failure to send. The text is safe to show and to log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChannelError {
    /// What kind; decides what the caller does.
    pub kind: ChannelErrorKind,
    /// A lowercase fragment saying what failed and why.
    pub message: String,
    /// True when the messenger may have taken it all the same: sending again may repeat it.
    pub maybe_sent: bool,
}

impl ChannelError {
    /// A failure before anything reached the messenger, or that it refused.
    pub fn new(kind: ChannelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), maybe_sent: false }
    }

    /// The same failure when it is not known whether the messenger took the message.
    #[must_use]
    pub fn maybe_sent(self) -> Self {
        Self { maybe_sent: true, ..self }
    }
}

/// What the receive loop is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polling {
    /// Not started, or ended on request.
    Stopped,
    /// Connecting for the first time.
    Starting,
    /// Receiving.
    Receiving,
    /// Waiting before it tries again; the status says why.
    Waiting,
    /// Another program receives the same bot's messages; waiting for it to end.
    Conflict,
    /// Ended: the messenger does not accept our secret.
    Refused,
}

/// How a channel is, for people and for `doctor`. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// What the receive loop is doing.
    pub polling: Polling,
    /// The name under which the messenger knows us, once known.
    pub account: Option<String>,
    /// How long ago receiving last worked; none if it never has.
    pub last_success: Option<Duration>,
    /// What last went wrong; none once receiving works again.
    pub last_error: Option<String>,
    /// How often the watchdog had to build the receive loop anew.
    pub rebuilt: u32,
}

/// Why the receive loop ended. It never ends for a disturbance that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiveEnd {
    /// The caller cancelled.
    Cancelled,
    /// Nobody takes what is received.
    Closed,
    /// The messenger does not accept our secret, or it is missing; says what to do.
    Auth(String),
}

/// A messenger.
pub trait Channel: Send + Sync {
    /// Which configured channel this is.
    fn id(&self) -> &ChannelId;

    /// What it can do.
    fn limits(&self) -> &Limits;

    /// How it is.
    fn status(&self) -> ChannelStatus;

    /// Receives until cancelled. Hands everything that names a sender to `to`, in order, and lets the messenger forget
    /// it only after its [`Ack`] was confirmed. `cursor` is where to go on, for messengers that do not keep the place
    /// themselves. Must be run at most once at a time.
    fn receive(
        self: Arc<Self>,
        to: mpsc::Sender<Delivered<Inbound>>,
        cursor: Option<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, ReceiveEnd>;

    /// Sends one thing to the chat `target`, waiting for its turn if too much was sent. One attempt: whoever keeps the
    /// message repeats it.
    fn send<'a>(
        &'a self,
        target: &'a str,
        outbound: Outbound,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<RemoteId, ChannelError>>;
}
