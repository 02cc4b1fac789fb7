//! Text for messengers.
