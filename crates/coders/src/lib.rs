//! Coding agents as supervised workers. Owns what a coding agent says and can be told ([`CoderEvent`], [`CoderCommand`]), one
//! file for each dialect, and the driver that keeps one in step with its supervisor. Must not decide (that is `policy`), start
//! a process (`sandbox`), know sessions, or hold the loop of a job (`daemon`). Start with [`Driver`], then [`Coder`] and [`Dialect`].

mod acp;
mod border;
mod claude;
mod coder;
mod codex;
mod command;
mod dialect;
mod driver;
mod event;
mod names;
mod oneshot;
mod opencode;
mod pins;
mod registry;
mod text;
mod trouble;
pub mod view;

pub use acp::Acp;
pub use claude::Claude;
pub use coder::{Coder, Launch, SeedFile, Start, Transport};
pub use codex::{CHATGPT_ACCOUNT, Codex};
pub use command::{CoderCommand, Unsupported, Verdict};
pub use dialect::{Dialect, Heard, Stream};
pub use driver::{
    Cursor, Driver, DriverError, Host, Lost, Order, Phase, RecordSource, Replay, Said, Shown, StallLimits,
};
pub use event::{Action, CoderEnd, CoderEvent, Permission, PlanStep, TAIL, Totals, Trouble};
pub use oneshot::{Forge, OneShot};
pub use opencode::Opencode;
pub use pins::{PINS, Pin, pin};
pub use registry::Registry;
