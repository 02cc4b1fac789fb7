//! Where the output of a command goes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::ring::Ring;

#[derive(Debug)]
pub(super) enum Output {
    /// To somebody who listens; the command waits for them.
    Channel(mpsc::Sender<Vec<u8>>),
    /// Into memory, of which only the last part is kept.
    Ring(Arc<Mutex<Ring>>),
    /// Nobody wants it.
    Nowhere,
}

impl Output {
    /// Takes one chunk. Waits for whoever listens.
    pub async fn take(&mut self, chunk: &[u8]) {
        match self {
            Self::Channel(sender) => {
                if sender.send(chunk.to_vec()).await.is_err() {
                    *self = Self::Nowhere;
                }
            }
            Self::Ring(ring) => ring.lock().unwrap_or_else(PoisonError::into_inner).push(chunk),
            Self::Nowhere => {}
        }
    }
}
