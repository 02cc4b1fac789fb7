//! The watchdog of the receive loop. It looks at receiving alone: that sending works says nothing about it.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How much longer than announced the loop may take before it counts as stuck. A poll ends by its own time limit long
/// before.
const GRACE: Duration = Duration::from_secs(30);

/// When the next sign of life is due at the latest.
pub(super) struct Liveness {
    due: watch::Sender<Instant>,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self { due: watch::Sender::new(Instant::now() + GRACE) }
    }

    /// A sign of life, with the promise of the next one within `next`.
    pub(super) fn beat(&self, next: Duration) {
        self.due.send_replace(Instant::now() + next + GRACE);
    }

    /// Returns when a promise was broken.
    pub(super) async fn broken(&self) {
        loop {
            let due = *self.due.borrow();
            sleep_until(due).await;
            if *self.due.borrow() <= Instant::now() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_promise_is_broken_only_after_its_time_and_the_grace() {
        let liveness = Liveness::new();
        let started = Instant::now();
        let beating = async {
            for _ in 0..5 {
                liveness.beat(Duration::from_secs(60));
                tokio::time::sleep(Duration::from_secs(80)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = liveness.broken() => {}
            () = beating => {}
        }
        // Four beats were in time; the fifth was made at 320 s and nothing followed.
        assert_eq!(started.elapsed().as_secs(), 4 * 80 + 60 + 30);
    }
}
