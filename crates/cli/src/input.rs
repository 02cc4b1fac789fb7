//! Lines from standard input for a program that waits for other things as well.

use std::{
    io::{self, IsTerminal},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, read},
    pipe::{PipeFlags, pipe_with},
    stdio::stdin,
    termios::{QueueSelector, tcflush},
};
use tokio::sync::mpsc;

/// The most bytes of a line.
const MAX_LINE: usize = 1 << 20;
/// How many lines are read ahead. More stay where they come from.
const AHEAD: usize = 16;

/// Standard input, line by line. A thread of its own reads it, since neither a terminal nor a file can be read without
/// blocking: switching them to non-blocking would also hit the shell that started us. Dropping this ends the thread at
/// once, even while it waits.
#[derive(Debug)]
pub struct Input {
    lines: mpsc::Receiver<io::Result<Line>>,
    /// Rises with every [`Input::forget`].
    epoch: Arc<AtomicU64>,
    /// Closing this wakes the thread.
    alive: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// A line, and the epoch in which it was read.
#[derive(Debug)]
struct Line {
    text: String,
    epoch: u64,
}

impl Input {
    /// Starts to read.
    pub fn new() -> io::Result<Self> {
        let (ended, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let (send, lines) = mpsc::channel(AHEAD);
        let epoch = Arc::new(AtomicU64::new(0));
        let reader = Reader { ended, send, epoch: epoch.clone() };
        let thread = std::thread::Builder::new().name("input".to_owned()).spawn(move || reader.run())?;
        Ok(Self { lines, epoch, alive: Some(alive), thread: Some(thread) })
    }

    /// Whether a person types.
    pub fn is_terminal() -> bool {
        io::stdin().is_terminal()
    }

    /// The next line without its end; none at the end of the input. Nothing is lost when the future is dropped.
    pub async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            match self.lines.recv().await.transpose()? {
                None => return Ok(None),
                Some(line) if line.epoch == self.epoch.load(Ordering::Acquire) => return Ok(Some(line.text)),
                Some(_) => {}
            }
        }
    }

    /// Throws away what a person typed so far, so that it cannot answer a question that it was not typed for. Input that
    /// is no terminal is left alone: nobody types ahead there.
    pub fn forget(&mut self) {
        if Self::is_terminal() {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            // A terminal that cannot be flushed leaves at most the line that is being typed.
            let _ = tcflush(stdin(), QueueSelector::IFlush);
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.lines.close();
        drop(self.alive.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that reads the input had panicked");
        }
    }
}

/// The reading thread.
struct Reader {
    ended: OwnedFd,
    send: mpsc::Sender<io::Result<Line>>,
    epoch: Arc<AtomicU64>,
}

impl Reader {
    fn run(self) {
        if let Err(error) = self.read_lines() {
            // Nobody listens any more when this fails.
            let _ = self.send.blocking_send(Err(error));
        }
    }

    fn read_lines(&self) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut piece = [0; 8192];
        while self.wait()? {
            let epoch = self.epoch.load(Ordering::Acquire);
            let length = match read(stdin(), &mut piece) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                result => result?,
            };
            buffer.extend_from_slice(&piece[..length]);
            while let Some(text) = take_line(&mut buffer, length == 0) {
                if self.send.blocking_send(Ok(Line { text, epoch })).is_err() {
                    return Ok(());
                }
            }
            if length == 0 {
                return Ok(());
            }
            if buffer.len() > MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 1 MiB"));
            }
        }
        Ok(())
    }

    /// Waits for input; false when nobody wants it any more.
    fn wait(&self) -> io::Result<bool> {
        loop {
            let stdin = stdin();
            let mut fds = [PollFd::from_borrowed_fd(stdin, PollFlags::IN), PollFd::new(&self.ended, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => {}
                result => {
                    result?;
                    return Ok(fds[1].revents().is_empty());
                }
            }
        }
    }
}

/// Takes the first line out of the buffer; what has no line end counts as a line only when nothing follows.
fn take_line(buffer: &mut Vec<u8>, ended: bool) -> Option<String> {
    let length = match buffer.iter().position(|byte| *byte == b'\n') {
        Some(position) => position + 1,
        None if ended && !buffer.is_empty() => buffer.len(),
        None => return None,
    };
    let line: Vec<u8> = buffer.drain(..length).collect();
    let line = String::from_utf8_lossy(&line);
    Some(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::take_line;

    #[test]
    fn lines_end_where_they_end() {
        let mut buffer = b"one\r\n\ntwo".to_vec();
        assert_eq!(take_line(&mut buffer, false).as_deref(), Some("one"));
        assert_eq!(take_line(&mut buffer, false).as_deref(), Some(""));
        assert_eq!(take_line(&mut buffer, false), None);
        assert_eq!(take_line(&mut buffer, true).as_deref(), Some("two"));
        assert_eq!(take_line(&mut buffer, true), None);
    }
}
