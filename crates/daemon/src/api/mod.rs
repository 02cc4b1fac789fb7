//! The HTTP API on the Unix socket and on the loopback address: what every client speaks. It must hold no logic of its
//! own: commands go to `commands`, reads to the store.

mod access;
mod auth;
mod commands;
mod connections;
mod events;
mod reads;
mod serve;
pub mod views;

pub(crate) use access::{Access, rotate};
pub(crate) use serve::{Listeners, bind, serve};
