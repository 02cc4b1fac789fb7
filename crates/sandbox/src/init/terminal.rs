//! A terminal for a program: a pair of the sandbox's own. Our side is handed out, and closing it hangs the program up.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    process::ioctl_tiocsctty,
    pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::kernel;
use crate::wire::TerminalSize;

/// What a program with a terminal finds in its environment in place of what others find.
pub(super) const ENVIRONMENT: [(&str, &str); 3] =
    [("PAGER", "less"), ("SHELL", "/bin/bash"), ("TERM", "xterm-256color")];

/// Both sides.
pub(super) struct Terminal {
    /// Ours.
    pub ours: OwnedFd,
    /// The program's.
    pub theirs: OwnedFd,
}

impl Terminal {
    pub fn open(size: TerminalSize) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let ours = openat(CWD, "/dev/pts/ptmx", flags, Mode::empty())?;
        unlockpt(&ours)?;
        tcsetwinsize(&ours, Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        Ok(Self { ours, theirs })
    }

    /// In the new process, which leads a session of its own: makes this its terminal and its three standard streams.
    pub fn adopt(&self) -> io::Result<()> {
        ioctl_tiocsctty(&self.theirs)?;
        for number in 0..3 {
            kernel::place(self.theirs.as_fd(), number)?;
        }
        Ok(())
    }
}
