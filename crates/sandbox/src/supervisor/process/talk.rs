//! The program that runs: its lines are cut and handed out, what is written to it waits in memory until it reads.

use std::{collections::VecDeque, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    running::{Ending, Piped, Pipes},
    supervisor::{Connect, What, bridge, lines::Splitter},
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
    /// Where it is spoken to over HTTP.
    bridge: Option<Bridge>,
    look: Interval,
    chunk: Vec<u8>,
}

/// The way to a program that is spoken to over HTTP. Dropping it ends all requests.
#[derive(Debug)]
struct Bridge {
    lines: mpsc::Sender<String>,
    said: mpsc::Receiver<String>,
    _serving: JoinSet<()>,
}

/// Lines that the bridge has and that are not recorded yet.
const SAID: usize = 16;

impl Bridge {
    fn new(connect: Connect, port: u16) -> Self {
        let (out, said) = mpsc::channel(SAID);
        let (lines, serve) = bridge(connect, port, out);
        let mut serving = JoinSet::new();
        serving.spawn(serve);
        Self { lines, said, _serving: serving }
    }
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
        let queue = VecDeque::new();
        Self { piped, mouths, input, queue, bridge: None, look, chunk: vec![0; CHUNK] }
    }

    /// Speaks to it over HTTP from here on.
    pub fn over_http(mut self, connect: Connect, port: u16) -> Self {
        self.bridge = Some(Bridge::new(connect, port));
        self
    }

    /// Whether these lines can be written to it.
    pub fn can_take(&self, lines: &[String]) -> Result<(), &'static str> {
        if let Some(bridge) = &self.bridge {
            let is_room = bridge.lines.capacity() >= lines.len();
            return if is_room { Ok(()) } else { Err("the program does not listen yet, and much waits for it") };
        }
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
        if let Some(bridge) = &self.bridge {
            for line in lines {
                // There is room, as was asked before.
                _ = bridge.lines.try_send(line.clone());
            }
            return;
        }
        for line in lines {
            self.queue.extend(line.as_bytes());
            self.queue.push_back(b'\n');
        }
    }

    /// What it does next. Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> Did {
        let Self { piped, mouths: [output, error], input, queue, bridge, look, chunk } = self;
        let (first, second) = chunk.split_at_mut(CHUNK / 2);
        tokio::select! {
            ending = piped.ended() => Did::Ended(ending),
            read = output.read(first) => Did::Said(output.cut(first.get(..read).unwrap_or_default())),
            read = error.read(second) => Did::Said(error.cut(second.get(..read).unwrap_or_default())),
            line = hear(bridge) => Did::Said(vec![What::Out { line }]),
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
        let Self { mouths, bridge, chunk, .. } = self;
        while let Some(Ok(line)) = bridge.as_mut().map(|bridge| bridge.said.try_recv()) {
            all.push(What::Out { line });
        }
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

/// What the bridge has from the program; waits for ever where there is none.
async fn hear(bridge: &mut Option<Bridge>) -> String {
    match bridge {
        Some(bridge) => match bridge.said.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Writes some of the queue; waits for ever while there is nothing to write or nobody to read.
async fn feed(input: &mut Option<Sender>, queue: &VecDeque<u8>) -> io::Result<usize> {
    match input {
        Some(input) if !queue.is_empty() => input.write(queue.as_slices().0).await,
        _ => std::future::pending().await,
    }
}
