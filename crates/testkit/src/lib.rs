//! Doubles of model vendors, messengers and places that take logs, hosts of repositories, over real sockets, with their real limits and faults.

pub mod forge;
pub mod logs;
pub mod model;
pub mod telegram;
