//! Doubles of model vendors and messengers, over real HTTP, with their real limits and faults.

pub mod model;
pub mod telegram;
