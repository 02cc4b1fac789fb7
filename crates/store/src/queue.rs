//! A bounded queue from async code to a thread. Closing it never waits for anybody: whoever still waits for room is told.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, Sender, channel},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The queue was closed.
pub(crate) struct Closed;

/// Something in the queue; its place is free again when this is dropped.
pub(crate) struct Queued<J> {
    pub job: J,
    _place: OwnedSemaphorePermit,
}

/// The sending side.
pub(crate) struct Queue<J> {
    places: Arc<Semaphore>,
    sender: Mutex<Option<Sender<Queued<J>>>>,
}

impl<J> Queue<J> {
    /// A queue of so many places.
    pub fn new(places: usize) -> (Self, Receiver<Queued<J>>) {
        let (sender, receiver) = channel();
        (Self { places: Arc::new(Semaphore::new(places)), sender: Mutex::new(Some(sender)) }, receiver)
    }

    /// Waits for a place and takes it.
    pub async fn push(&self, job: J) -> Result<(), Closed> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| Closed)?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(Closed)?;
        sender.send(Queued { job, _place: place }).map_err(|_| Closed)
    }

    /// Lets nothing more in. The receiver gets what is in the queue and then its end.
    pub fn close(&self) {
        self.places.close();
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
