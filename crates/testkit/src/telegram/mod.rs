//! A double of Telegram's Bot API over real HTTP: its long polling, its limits and its words of refusal, with faults on
//! demand. Knows nothing of ours: it is the outside world. Start with [`TelegramServer`].

mod entities;
mod fault;
mod message;
mod methods;
mod rate;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod updates;
mod wire;

pub use fault::Fault;
pub use message::{Button, Draft, Message, Revision};
pub use rate::Rate;
pub use server::TelegramServer;
pub use state::{Call, Settings, State};
