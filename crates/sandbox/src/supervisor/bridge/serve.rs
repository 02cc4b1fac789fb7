//! The bridge at work: waits for the port, then asks, several at once.

use std::{collections::HashMap, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use types::BoxFuture;

use super::{
    ask::ask,
    line::{self, Asked, Wanted},
};

/// Makes one connection to the program's port. The error says why there is none.
pub(crate) type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<OwnedFd, String>> + Send + Sync>;

/// Lines that wait while the program does not listen yet.
const MAX_WAITING: usize = 64;
/// Requests at once, streams apart.
const MAX_REQUESTS: usize = 8;
/// Streams at once.
const MAX_STREAMS: usize = 4;
/// How long the program may take until it listens. Some start for a quarter of a minute on an idle machine.
const READY: Duration = Duration::from_secs(180);
/// How often it is looked whether it listens.
const LOOK: Duration = Duration::from_millis(100);

/// A bridge to `port`: where lines for the program are put, and what must be run for as long as it is to stand. What comes
/// back is put into `out`, for which everything waits when it is full.
pub(crate) fn bridge(
    connect: Connect,
    port: u16,
    out: mpsc::Sender<String>,
) -> (mpsc::Sender<String>, impl Future<Output = ()>) {
    let (sender, lines) = mpsc::channel(MAX_WAITING);
    let serving = Serving { connect, port, out, asking: JoinSet::new(), running: HashMap::new() };
    (sender, serving.serve(lines))
}

struct Serving {
    connect: Connect,
    port: u16,
    out: mpsc::Sender<String>,
    /// Each gives its id when it is over.
    asking: JoinSet<String>,
    running: HashMap<String, Running>,
}

struct Running {
    cancel: CancellationToken,
    stream: bool,
}

impl Serving {
    /// Dropping it ends all requests.
    async fn serve(mut self, mut lines: mpsc::Receiver<String>) {
        let is_ready = self.is_ready().await;
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                Some(ended) = self.asking.join_next() => {
                    if let Ok(id) = ended {
                        self.running.remove(&id);
                    }
                    continue;
                }
            };
            let Some(line) = line else { return };
            let answer = match line::read(&line) {
                Err(answer) => Some(answer),
                Ok(Wanted::Ask(asked)) if !is_ready => Some(line::failed(
                    &asked.id,
                    &format!("the program did not listen on its port {} within {} seconds", self.port, READY.as_secs()),
                )),
                Ok(Wanted::Ask(asked)) => self.start(asked),
                Ok(Wanted::Cancel(id)) => {
                    // One that is over needs no end.
                    if let Some(running) = self.running.get(&id) {
                        running.cancel.cancel();
                    }
                    None
                }
            };
            if let Some(answer) = answer
                && self.out.send(answer).await.is_err()
            {
                return;
            }
        }
    }

    /// Waits until the program listens; false when it takes too long.
    async fn is_ready(&self) -> bool {
        let until = Instant::now() + READY;
        loop {
            tokio::select! {
                () = sleep_until(until) => return false,
                made = (self.connect)() => if made.is_ok() { return true },
            }
            sleep(LOOK).await;
        }
    }

    /// Starts a request, or says why not.
    fn start(&mut self, asked: Asked) -> Option<String> {
        if self.running.contains_key(&asked.id) {
            return Some(line::failed(&asked.id, "a request with this id runs already"));
        }
        let most = if asked.stream { MAX_STREAMS } else { MAX_REQUESTS };
        if self.running.values().filter(|running| running.stream == asked.stream).count() >= most {
            return Some(line::failed(&asked.id, &format!("{most} requests run already")));
        }
        let cancel = CancellationToken::new();
        self.running.insert(asked.id.clone(), Running { cancel: cancel.clone(), stream: asked.stream });
        let (connect, out, port) = (self.connect.clone(), self.out.clone(), self.port);
        self.asking.spawn(async move {
            let last = tokio::select! {
                last = ask(&connect, port, &asked, &out) => last,
                () = cancel.cancelled() => line::closed(&asked.id, "it was cancelled"),
            };
            // When nobody listens any more there is nobody to tell.
            _ = out.send(last).await;
            asked.id
        });
        None
    }
}

#[cfg(test)]
mod tests;
