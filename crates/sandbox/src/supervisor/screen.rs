//! A pane's end of a job's terminal: a connection of its own to the supervisor, and the stream of what is shown and typed.

use std::{os::fd::OwnedFd, os::unix::net::UnixStream as StdStream, path::Path, time::Duration};

use tokio::{net::UnixStream, task::JoinSet, time::timeout};

use super::{
    client::{encode, knock},
    frames::{Frame, Incoming, Outgoing, connection},
    protocol::{Answer, Order, PROTOCOL, Refusal, Tell},
};
use crate::{SandboxError, TerminalSize};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A job's terminal, joined. Dropping it leaves.
#[derive(Debug)]
pub struct Screen {
    /// What the program shows comes out, what is typed goes in. It ends when the terminal is closed, or when this pane does
    /// not read; then it can be joined again.
    pub stream: UnixStream,
    outgoing: Outgoing,
    next: u64,
    /// Takes what the supervisor tells besides. Dropping it ends it.
    _tasks: JoinSet<()>,
}

impl Screen {
    /// Joins the terminal of the supervisor in a directory. None when nobody lives there or no terminal is open.
    pub async fn join(directory: &Path, size: TerminalSize) -> Result<Option<Self>, SandboxError> {
        let Some(socket) = knock(directory).await.map_err(SandboxError::process("reached"))? else { return Ok(None) };
        let (mut incoming, mut outgoing) = connection(socket).map_err(SandboxError::process("reached"))?;
        let hello = Order::Hello { protocol: PROTOCOL, is_daemon: false };
        ask(&mut incoming, &mut outgoing, 0, hello).await?;
        let stream = match ask(&mut incoming, &mut outgoing, 1, Order::JoinTerminal { size }).await {
            Ok(mut fds) => fds.pop().ok_or_else(|| SandboxError::Supervisor("it gave no stream".to_owned()))?,
            Err(SandboxError::NoTerminal) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stream = StdStream::from(stream);
        let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { while let Ok(Some(_)) = incoming.next().await {} });
        let stream = stream.map_err(SandboxError::process("heard"))?;
        Ok(Some(Self { stream, outgoing, next: 2, _tasks: tasks }))
    }

    /// Gives the terminal another size.
    pub async fn resize(&mut self, size: TerminalSize) -> Result<(), SandboxError> {
        self.next += 1;
        let text = encode(self.next, &format!("resize-{}", self.next), Order::ResizeTerminal { size })?;
        self.outgoing.send(&text, b"", &[]).await.map_err(|_| SandboxError::Gone)
    }
}

/// Asks and waits for the answer. Gives the descriptors that came beside it.
async fn ask(
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    id: u64,
    order: Order,
) -> Result<Vec<OwnedFd>, SandboxError> {
    let text = encode(id, "pane", order)?;
    outgoing.send(&text, b"", &[]).await.map_err(|_| SandboxError::Gone)?;
    let answered = async {
        loop {
            let frame = incoming.next().await.map_err(SandboxError::process("heard"))?;
            let Frame { text, fds, .. } = frame.ok_or(SandboxError::Gone)?;
            match serde_json::from_slice(&text) {
                Ok(Tell::Answer { id: of, answer }) if of == id => {
                    return match answer {
                        Answer::Refused(Refusal::NoTerminal) => Err(SandboxError::NoTerminal),
                        Answer::Refused(refusal) => Err(refusal.into()),
                        Answer::Done | Answer::Welcome(_) | Answer::Running { .. } => Ok(fds),
                    };
                }
                Ok(_) => {}
                Err(error) => return Err(SandboxError::Supervisor(format!("it speaks another language: {error}"))),
            }
        }
    };
    timeout(ANSWER, answered).await.map_err(|_| SandboxError::Supervisor("it does not answer".to_owned()))?
}
