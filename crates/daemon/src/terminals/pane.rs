//! What runs in a window: a readable view of a job's records, and its terminal while a person works there. It only looks on:
//! it can be ended and started again at any time.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use coders::{
    Registry, Replay, Shown,
    view::{Line, Tone, lines},
};
use sandbox::{Records, SandboxError, Screen, Supervised};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use types::Failure;

use super::{
    Place,
    tty::{Tty, TtyError},
    verbs,
};
use crate::{
    Config,
    failure::{internal, user},
    home::Home,
    jobs::registry,
};

/// Records before the present that are shown when a pane begins.
const SHOWN_BEFORE: u64 = 3_000;
/// How often it is looked whether a supervisor lives again.
const LOOK: Duration = Duration::from_secs(2);
/// How much of a terminal is read at once.
const CHUNK: usize = 16 * 1024;
/// A new screen, and everything that a program at the terminal may have left switched on, off: other keys, the mouse, pasting
/// in brackets, the second screen. What follows begins below all that it left, wherever the cursor was.
const FRESH: &str = "\x1b[!p\x1b[?1049l\x1b[?1000;1002;1003;1004;1006;2004;1l\x1b>\x1b[?25h\x1b[0m\x1b[9999H";

/// Why a pane ends.
#[derive(Debug, thiserror::Error)]
enum PaneError {
    #[error(transparent)]
    Tty(#[from] TtyError),
    #[error("the terminal is gone: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Shows a job or a shell in the terminal that this process has. A shell's pane closes its window when the shell is over; a
/// job's stays until its window is closed.
pub async fn pane(home: &Path, place: Place) -> Result<(), Failure> {
    let shown = async {
        let mut pane = Pane::open(home, place.clone(), coders(home))?;
        match &place {
            Place::Job(_) => pane.run().await,
            Place::Shell(_) => {
                let sat = pane.sit().await;
                // Also where no daemon runs that would do it. A shell that cannot be joined is ending.
                verbs::close(home, &place).await;
                sat
            }
        }
    };
    match shown.await {
        Ok(()) => Ok(()),
        Err(PaneError::Tty(error)) => Err(user(error.to_string(), "run it in a terminal")),
        // Whoever closed it knows.
        Err(PaneError::Io(_)) => Ok(()),
        Err(PaneError::Sandbox(error)) => Err(internal(error)),
    }
}

/// The coding agents that the owner configured; the usual ones where the file cannot be read, which the daemon tells.
fn coders(home: &Path) -> Registry {
    let config = Home::existing(home).ok().and_then(|home| Config::load(&home.config()).ok());
    config.map_or_else(Registry::default, |config| registry(&config))
}

struct Pane {
    place: Place,
    directory: PathBuf,
    tty: Tty,
    resized: Signal,
    replay: Replay,
    /// The last record that was read.
    read: u64,
}

impl Pane {
    fn open(home: &Path, place: Place, coders: Registry) -> Result<Self, PaneError> {
        let resized = signal(SignalKind::window_change())?;
        let (tty, replay) = (Tty::open()?, Replay::new(coders));
        let directory = place.directory(home);
        Ok(Self { place, directory, tty, resized, replay, read: 0 })
    }

    async fn run(&mut self) -> Result<(), PaneError> {
        self.greet().await?;
        loop {
            match Supervised::look(&self.directory).await {
                Ok(Some(supervised)) => {
                    let first = supervised.written().saturating_sub(SHOWN_BEFORE);
                    self.follow(&mut supervised.records(), first).await?;
                }
                Ok(None) => {
                    // What it wrote last, and whatever there is of a job that is over.
                    if let Ok(mut records) = Records::of(&self.directory) {
                        self.follow(&mut records, 0).await?;
                    }
                }
                Err(error) => self.tty.line(&format!("--- {error}")).await?,
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                gone = self.tty.ignored_key() => gone?,
            }
        }
    }

    async fn greet(&mut self) -> io::Result<()> {
        if let Place::Job(id) = self.place {
            let text = format!(
                "\x1b[1mjob {id}\x1b[0m  take over: factotum job takeover {id}  hand back: factotum job handback {id}, or end \
                 the program"
            );
            self.tty.line(&text).await?;
        }
        Ok(())
    }

    /// Shows records until there are no more.
    async fn follow(&mut self, records: &mut Records, first: u64) -> Result<(), PaneError> {
        loop {
            let record = tokio::select! {
                record = records.next() => record,
                gone = self.tty.ignored_key() => {
                    gone?;
                    continue;
                }
            };
            let Some(record) = record else { return Ok(()) };
            if record.seq <= self.read {
                continue;
            }
            self.read = record.seq;
            for shown in self.replay.take(&record) {
                if record.seq >= first {
                    for line in lines(&shown) {
                        self.tty.line(&coloured(&line)).await?;
                    }
                }
                if matches!(shown, Shown::TerminalOpened(_)) {
                    self.sit().await?;
                }
            }
        }
    }

    /// Shows the terminal for as long as it is open. One that was opened and closed long ago is not.
    async fn sit(&mut self) -> Result<(), PaneError> {
        let mut sat = false;
        while let Some(screen) = Screen::join(&self.directory, self.tty.size()).await? {
            sat = true;
            self.relay(screen).await?;
        }
        if sat {
            let (_, screen) = self.tty.parts();
            screen.write_all(FRESH.as_bytes()).await?;
            self.tty.line("").await?;
        }
        Ok(())
    }

    /// Passes on what is shown and typed until the terminal is closed.
    async fn relay(&mut self, mut screen: Screen) -> Result<(), PaneError> {
        let (mut keys, mut shown) = ([0; 4096], vec![0; CHUNK]);
        loop {
            let (keyboard, display) = self.tty.parts();
            tokio::select! {
                read = screen.stream.read(&mut shown) => match read {
                    Ok(length @ 1..) => display.write_all(shown.get(..length).unwrap_or_default()).await?,
                    Ok(0) | Err(_) => return Ok(()),
                },
                read = keyboard.read(&mut keys) => match read? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    length => {
                        // A terminal that was closed in this moment is seen above.
                        _ = screen.stream.write_all(keys.get(..length).unwrap_or_default()).await;
                    }
                },
                _ = self.resized.recv() => {
                    let size = self.tty.size();
                    screen.resize(size).await?;
                }
            }
        }
    }
}

/// A line in the colours of its tone.
fn coloured(line: &Line) -> String {
    let colour = match line.tone {
        Tone::Plain => return line.text.clone(),
        Tone::Faint => "2",
        Tone::Ours => "36",
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Asks => "33",
    };
    format!("\x1b[{colour}m{}\x1b[0m", line.text)
}
