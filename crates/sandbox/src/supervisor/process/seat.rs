//! A person's seat at the job: a program at a terminal, which any number of panes watch and type into. What it showed last is
//! kept, so that whoever comes later sees where it stands. Nothing of it is recorded but its begin and its end.

use std::{
    collections::VecDeque,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout},
};

use super::{after, replay::replayable};
use crate::{
    Terminal, TerminalSize,
    running::{Ending, Piped},
};

/// How much of what was shown is kept.
const KEPT: usize = 256 * 1024;
/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// Pieces that wait for one pane. One that does not take them is let go; it can come again and sees where things stand.
const PIECES: usize = 512;
/// Bytes that were typed and that the program has not read.
const MAX_TYPED: usize = 1024 * 1024;
/// Panes at once.
const MAX_PANES: usize = 8;
/// How long the terminal has another size when a pane comes, so that the program draws everything again.
const NUDGE: Duration = Duration::from_millis(120);
/// How long what was shown last may take to be read, and to be passed on to the panes.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A program at a terminal.
#[derive(Debug)]
pub(super) struct Seat {
    terminal: Terminal,
    size: TerminalSize,
    /// When the size that panes want is set again.
    nudged: Option<Instant>,
    shown: VecDeque<u8>,
    /// Nobody inside has the terminal open any more.
    is_silent: bool,
    panes: Vec<mpsc::Sender<Bytes>>,
    tasks: JoinSet<()>,
    hear: mpsc::Sender<Vec<u8>>,
    heard: mpsc::Receiver<Vec<u8>>,
    typed: VecDeque<u8>,
    look: Interval,
    chunk: Vec<u8>,
    /// How long nothing may be typed or shown, and until when that is.
    idle: Option<(Duration, Instant)>,
}

/// What happened there.
#[derive(Debug)]
pub(super) enum SeatDid {
    /// Nothing that concerns the supervisor.
    Work,
    /// The program ended; what it started may run on.
    Ended(Ending),
    /// It used more of the disk than it may.
    FilledDisk,
    /// Nothing was typed or shown for as long as may be.
    Idle,
}

impl Seat {
    pub fn new(terminal: Terminal, size: TerminalSize, idle: Option<Duration>) -> Self {
        let (hear, heard) = mpsc::channel(16);
        let mut look = interval_at(Instant::now() + Piped::LOOK, Piped::LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            terminal,
            size,
            nudged: None,
            shown: VecDeque::new(),
            is_silent: false,
            panes: Vec::new(),
            tasks: JoinSet::new(),
            hear,
            heard,
            typed: VecDeque::new(),
            look,
            chunk: vec![0; CHUNK],
            idle: idle.map(|idle| (idle, after(idle))),
        }
    }

    /// What happens next. Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> SeatDid {
        let Self { terminal, typed, heard, chunk, look, nudged, tasks, is_silent, idle, .. } = self;
        let (program, line) = terminal.parts();
        let left_alone = idle.map_or_else(Instant::now, |(_, until)| until);
        tokio::select! {
            ending = program.ended() => return SeatDid::Ended(ending),
            read = line.read(chunk), if !*is_silent => {
                let read = read.unwrap_or(0);
                self.show(read);
            }
            Some(bytes) = heard.recv(), if typed.len() < MAX_TYPED => {
                typed.extend(bytes);
                self.used();
            }
            () = sleep_until(left_alone), if idle.is_some() => return SeatDid::Idle,
            written = line.write_some(typed.as_slices().0), if !typed.is_empty() => match written {
                Ok(length) => drop(typed.drain(..length)),
                Err(_) => typed.clear(),
            },
            () = sleep_until(nudged.unwrap_or_else(Instant::now)), if nudged.is_some() => {
                *nudged = None;
                // A size that cannot be set is no reason to end anything.
                _ = line.resize(self.size);
            }
            Some(_) = tasks.join_next() => {}
            _ = look.tick() => if program.is_disk_full() {
                return SeatDid::FilledDisk;
            }
        }
        SeatDid::Work
    }

    /// Something was typed or shown.
    fn used(&mut self) {
        if let Some((idle, until)) = &mut self.idle {
            *until = after(*idle);
        }
    }

    /// Passes on what was read into the chunk.
    fn show(&mut self, read: usize) {
        self.used();
        let piece = self.chunk.get(..read).unwrap_or_default();
        self.is_silent = piece.is_empty();
        let too_many = (self.shown.len() + piece.len()).saturating_sub(KEPT);
        self.shown.drain(..too_many);
        self.shown.extend(piece);
        let piece = Bytes::copy_from_slice(piece);
        if !piece.is_empty() {
            self.panes.retain(|pane| pane.try_send(piece.clone()).is_ok());
        }
    }

    /// Takes on a pane of this size and gives its end of a stream: what is shown comes out, what is typed goes in.
    pub fn join(&mut self, size: TerminalSize) -> io::Result<OwnedFd> {
        self.panes.retain(|pane| !pane.is_closed());
        if self.panes.len() >= MAX_PANES {
            return Err(io::Error::other(format!("{MAX_PANES} panes show it already")));
        }
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let (pane, pieces) = mpsc::channel(PIECES);
        let is_whole = self.shown.len() < KEPT;
        let before = replayable(self.shown.make_contiguous(), is_whole);
        let is_first = before.is_empty();
        if !is_first {
            // The channel is new and has room.
            _ = pane.try_send(before.into());
        }
        self.panes.push(pane);
        self.tasks.spawn(relay(ours, pieces, self.hear.clone()));
        self.size = size;
        if is_first {
            self.resize(size)?;
        } else {
            // Programs that draw the whole screen do so again for another size only.
            let other = TerminalSize { rows: size.rows.saturating_sub(1).max(1), ..size };
            self.terminal.resize(other)?;
            self.nudged = Some(Instant::now() + NUDGE);
        }
        Ok(theirs.into())
    }

    /// Gives the terminal the size of the pane that changed last.
    pub fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        self.size = size;
        self.terminal.resize(size)
    }

    /// Ends it with everything that the program started. Gives its exit code; none when a signal ended it.
    pub async fn close(mut self) -> Option<i32> {
        let (program, _) = self.terminal.parts();
        let ending = program.end(&[]).await;
        let until = Instant::now() + LAST_WORDS;
        while !self.is_silent && Instant::now() < until {
            let read = self.terminal.parts().1.read(&mut self.chunk);
            let Ok(read) = timeout(LAST_WORDS / 5, read).await else { break };
            self.show(read.unwrap_or(0));
        }
        self.panes.clear();
        let parted = async { while self.tasks.join_next().await.is_some() {} };
        // A pane that does not read what is left is let go.
        _ = timeout(LAST_WORDS, parted).await;
        match ending {
            Ending::Code(code) => Some(code),
            Ending::Signal(_) | Ending::Gone => None,
        }
    }
}

/// Serves one pane until it leaves or there is nothing more to show.
async fn relay(stream: UnixStream, mut pieces: mpsc::Receiver<Bytes>, hear: mpsc::Sender<Vec<u8>>) {
    let (mut reader, mut writer) = stream.into_split();
    let showing = async {
        while let Some(piece) = pieces.recv().await {
            if writer.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let typing = async {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut chunk).await {
            let bytes = chunk.get(..length).unwrap_or_default().to_vec();
            if hear.send(bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = showing => {}
        () = typing => {}
    }
}
