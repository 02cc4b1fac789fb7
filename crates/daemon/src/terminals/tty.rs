//! The terminal that this process itself has: raw while a pane shows something in it, and as it was afterwards.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
};

use rustix::{
    fs::OFlags,
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use sandbox::TerminalSize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
};

/// There is no terminal here.
#[derive(Debug, thiserror::Error)]
#[error("this needs a terminal: {0}")]
pub struct TtyError(#[from] io::Error);

/// The process's terminal.
#[derive(Debug)]
pub(super) struct Tty {
    control: File,
    before: Termios,
    keys: Receiver,
    screen: Sender,
}

impl Tty {
    /// Opens it and makes it raw: every key is read as it is typed, and nothing acts on it here.
    pub fn open() -> Result<Self, TtyError> {
        // Opened anew for each purpose, so that whoever else has it open still waits as before.
        let control = opened()?;
        let before = tcgetattr(&control).map_err(io::Error::from)?;
        let (keys, screen) = (Receiver::from_file_unchecked(opened()?)?, Sender::from_file_unchecked(opened()?)?);
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&control, OptionalActions::Now, &raw).map_err(io::Error::from)?;
        Ok(Self { control, before, keys, screen })
    }

    /// Its size; that of old terminals where it does not tell.
    pub fn size(&self) -> TerminalSize {
        match tcgetwinsize(&self.control) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => TerminalSize { rows: size.ws_row, columns: size.ws_col },
            Ok(_) | Err(_) => TerminalSize { rows: 24, columns: 80 },
        }
    }

    /// What is typed and what is shown, to be used at once.
    pub fn parts(&mut self) -> (&mut Receiver, &mut Sender) {
        (&mut self.keys, &mut self.screen)
    }

    /// Shows a line.
    pub async fn line(&mut self, text: &str) -> io::Result<()> {
        self.screen.write_all(format!("{text}\r\n").as_bytes()).await
    }

    /// Waits until something is typed, and forgets it.
    pub async fn ignored_key(&mut self) -> io::Result<()> {
        match self.keys.read(&mut [0; 256]).await {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other.map(drop),
        }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // It may be gone, and then needs nothing.
        _ = tcsetattr(&self.control, OptionalActions::Now, &self.before);
    }
}

fn opened() -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let flags = i32::try_from(flags).expect("open flags fit in 31 bits");
    OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")
}
