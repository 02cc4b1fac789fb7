//! An end that is carried out once, by a task of its own: whoever waits for it may be dropped and wait again, and it goes on.

use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// An end that may have to come.
#[derive(Debug)]
pub(super) struct Farewell {
    tasks: TaskTracker,
    /// Cancelled when it is over; none while it was not begun.
    over: Option<CancellationToken>,
}

impl Farewell {
    /// Not begun. The task will be one of `tasks`, which somebody waits for.
    pub fn new(tasks: TaskTracker) -> Self {
        Self { tasks, over: None }
    }

    pub fn is_begun(&self) -> bool {
        self.over.is_some()
    }

    /// Begins it, once. It must end by itself: nobody cuts it short.
    pub fn begin(&mut self, end: impl Future<Output = ()> + Send + 'static) {
        if self.is_begun() {
            return;
        }
        let over = CancellationToken::new();
        // Also where it panics.
        let guard = over.clone().drop_guard();
        self.over = Some(over);
        self.tasks.spawn(async move {
            end.await;
            drop(guard);
        });
    }

    /// Waits until it is over; not at all when it was not begun.
    pub async fn done(&self) {
        if let Some(over) = &self.over {
            over.cancelled().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use tokio::{sync::Notify, time::timeout};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_may_be_dropped_and_it_goes_on_once() {
        let mut farewell = Farewell::new(TaskTracker::new());
        let (count, may_end) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        for _ in 0..3 {
            let (counted, may_end) = (count.clone(), may_end.clone());
            farewell.begin(async move {
                counted.fetch_add(1, Ordering::SeqCst);
                may_end.notified().await;
                counted.fetch_add(10, Ordering::SeqCst);
            });
            // A tick that comes before the end.
            assert!(timeout(Duration::from_millis(1), farewell.done()).await.is_err());
        }
        may_end.notify_one();
        farewell.done().await;
        assert_eq!(count.load(Ordering::SeqCst), 11);
    }

    #[tokio::test]
    async fn an_end_that_panics_keeps_nobody_waiting() {
        let mut farewell = Farewell::new(TaskTracker::new());
        farewell.done().await;
        farewell.begin(async { panic!("on purpose") });
        farewell.done().await;
        assert!(farewell.is_begun());
    }
}
