//! The sandbox's first process, seen from outside. When it ends, the kernel has killed everything else inside.

use std::{
    os::fd::{AsFd, OwnedFd},
    thread::sleep,
    time::Duration,
};

use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use tokio::io::{Interest, unix::AsyncFd};

use super::watched::watch;

/// How long the end of all processes inside may take.
const END: Duration = Duration::from_secs(5);
/// How often an end that must not wait long is looked for, a millisecond apart.
const LOOKS: u32 = 300;

#[derive(Debug)]
pub(super) struct FirstProcess(AsyncFd<OwnedFd>);

impl FirstProcess {
    pub fn new(descriptor: OwnedFd) -> std::io::Result<Self> {
        Ok(Self(watch(descriptor, Interest::READABLE)?))
    }

    fn kill(&self) {
        // It may have ended by itself.
        _ = pidfd_send_signal(self.0.get_ref(), Signal::KILL);
    }

    /// Buries it if it has ended.
    fn bury(&self) -> bool {
        let waited = waitid(WaitId::PidFd(self.0.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        // An error means that it was buried before.
        !matches!(waited, Ok(None))
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        // An error means that it cannot be watched, which is as good as lost.
        _ = self.0.readable().await;
    }

    /// Buries it when it has ended, as far as that comes soon, and says in words how it ended.
    pub async fn how_it_ended(&self) -> String {
        if tokio::time::timeout(END, self.0.readable()).await.is_err() {
            return "it closed its socket and still runs".to_owned();
        }
        match waitid(WaitId::PidFd(self.0.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "nobody knows how".to_owned(),
            },
            // It was buried before.
            Ok(None) | Err(_) => "nobody knows how".to_owned(),
        }
    }

    /// Kills it and waits for its end.
    pub async fn end(&self) {
        self.kill();
        if tokio::time::timeout(END, self.0.readable()).await.is_err() {
            tracing::error!("a sandbox's first process did not end when it was killed");
        }
        self.bury();
    }

    /// Kills it and waits for its end, but not for long.
    pub fn end_now(&self) {
        self.kill();
        for _ in 0..LOOKS {
            if self.bury() {
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }
}
