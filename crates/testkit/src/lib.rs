//! Doubles of model vendors, messengers and places that take logs, over real sockets, with their real limits and faults.

pub mod logs;
pub mod model;
pub mod telegram;
