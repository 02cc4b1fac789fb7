//! Tests of the channels against wire fixtures and a double of the messenger.

mod format;
mod parse;
mod receive;
mod replies;
mod send;
mod split;
mod support;
mod terminal;
