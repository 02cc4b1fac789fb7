//! Messengers: what each can do, how its wire format is read and written, and how text is shaped for it. A channel
//! parses and hands over, and sends what it is told to. It must not know sessions, decide who is admitted, answer
//! anybody or open an attachment by itself. Start with [`Channel`].

mod channel;
pub mod format;
mod retry;
mod split;
pub mod telegram;
pub mod terminal;

pub use channel::{
    Ack, Button, Channel, ChannelError, ChannelErrorKind, ChannelStatus, Delivered, Inbound, InboundKind, Limits,
    Outbound, Polling, ReceiveEnd, RemoteId, Sender, TextUnit,
};
pub use retry::Backoff;
pub use split::split;
pub use telegram::TelegramChannel;
