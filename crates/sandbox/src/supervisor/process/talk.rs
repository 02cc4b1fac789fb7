//! The program that runs: its lines are cut and handed out, what is written to it waits in memory until it reads.

use std::{collections::VecDeque, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    running::{Ending, Piped, Pipes},
    supervisor::{What, lines::Splitter},
};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// Bytes that wait for a program to read them.
const MAX_QUEUED: usize = 32 * 1024 * 1024;
/// How long what was in the pipes at the end of the program may take to be read: all who could write more are dead.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long they may be silent before that is taken for the end, for a process that could not be killed.
const SILENCE: Duration = Duration::from_millis(100);

/// One stream of output.
#[derive(Debug)]
struct Mouth {
    /// None once it is closed.
    pipe: Option<Receiver>,
    splitter: Splitter,
    is_error: bool,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Talk {
    pub piped: Piped,
    mouths: [Mouth; 2],
    /// None where it reads nothing, or not any more.
    input: Option<Sender>,
    queue: VecDeque<u8>,
    look: Interval,
    chunk: Vec<u8>,
}

/// What it did.
#[derive(Debug)]
pub(super) enum Did {
    /// It said something. May be empty: no line has ended yet.
    Said(Vec<What>),
    /// It read something, or stopped reading.
    Read,
    /// It ended; what it started may run on.
    Ended(Ending),
    /// It used more of the disk than it may.
    FilledDisk,
}

impl Mouth {
    fn new(pipe: Receiver, is_error: bool) -> Self {
        Self { pipe: Some(pipe), splitter: Splitter::default(), is_error }
    }

    /// Reads some; waits for ever once it is closed.
    async fn read(&mut self, chunk: &mut [u8]) -> usize {
        match &mut self.pipe {
            Some(pipe) => pipe.read(chunk).await.unwrap_or(0),
            None => std::future::pending().await,
        }
    }

    /// Cuts what was read.
    fn cut(&mut self, read: &[u8]) -> Vec<What> {
        let mut lines = Vec::new();
        let is_error = self.is_error;
        let what = |line| if is_error { What::Err { line } } else { What::Out { line } };
        if read.is_empty() {
            self.pipe = None;
            lines.extend(self.splitter.finish().map(what));
        } else {
            self.splitter.feed(read, |line| lines.push(what(line)));
        }
        lines
    }
}

impl Talk {
    /// `is_output_heard`: whether lines of its standard output are what it says, and not only remarks.
    pub fn new(piped: Piped, pipes: Pipes, is_output_heard: bool) -> Self {
        let mut look = interval_at(Instant::now() + Piped::LOOK, Piped::LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Pipes { input, output, error } = pipes;
        let mouths = [Mouth::new(output, !is_output_heard), Mouth::new(error, true)];
        Self { piped, mouths, input, queue: VecDeque::new(), look, chunk: vec![0; CHUNK] }
    }

    /// Whether these lines can be written to it.
    pub fn can_take(&self, lines: &[String]) -> Result<(), &'static str> {
        if self.input.is_none() && !lines.is_empty() {
            return Err("the program reads nothing, or not any more");
        }
        let length: usize = lines.iter().map(|line| line.len() + 1).sum();
        if self.queue.len() + length > MAX_QUEUED {
            return Err("the program does not read what was written to it before");
        }
        Ok(())
    }

    /// Writes lines to it as it reads them.
    pub fn write(&mut self, lines: &[String]) {
        for line in lines {
            self.queue.extend(line.as_bytes());
            self.queue.push_back(b'\n');
        }
    }

    /// What it does next. Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> Did {
        let Self { piped, mouths: [output, error], input, queue, look, chunk, .. } = self;
        let (first, second) = chunk.split_at_mut(CHUNK / 2);
        tokio::select! {
            ending = piped.ended() => Did::Ended(ending),
            read = output.read(first) => Did::Said(output.cut(first.get(..read).unwrap_or_default())),
            read = error.read(second) => Did::Said(error.cut(second.get(..read).unwrap_or_default())),
            written = feed(input, queue) => {
                match written {
                    Ok(length) => drop(queue.drain(..length)),
                    // It reads no more; that it was told is in the records.
                    Err(_) => (*input, *queue) = (None, VecDeque::new()),
                }
                if queue.is_empty() {
                    queue.shrink_to(CHUNK);
                }
                Did::Read
            }
            _ = look.tick() => if piped.is_disk_full() { Did::FilledDisk } else { Did::Read },
        }
    }

    /// What is left in the pipes when everything that could write there was killed.
    pub async fn last_words(&mut self) -> Vec<What> {
        let until = Instant::now() + LAST_WORDS;
        let mut all = Vec::new();
        let Self { mouths, chunk, .. } = self;
        for mouth in mouths {
            while mouth.pipe.is_some() && Instant::now() < until {
                let Ok(read) = timeout(SILENCE, mouth.read(chunk)).await else { break };
                all.extend(mouth.cut(chunk.get(..read).unwrap_or_default()));
            }
            all.extend(mouth.cut(&[]));
        }
        all
    }
}

/// Writes some of the queue; waits for ever while there is nothing to write or nobody to read.
async fn feed(input: &mut Option<Sender>, queue: &VecDeque<u8>) -> io::Result<usize> {
    match input {
        Some(input) if !queue.is_empty() => input.write(queue.as_slices().0).await,
        _ => std::future::pending().await,
    }
}
