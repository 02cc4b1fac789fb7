//! Terminals: what a window of our tmux runs, and the windows themselves as the command line asks for them. Owns how a pane
//! looks; must not decide anything, nor hold anything that is lost with a window. Start with [`pane`].

mod pane;
mod place;
mod tty;
mod verbs;

pub use pane::pane;
pub use place::Place;
pub(crate) use place::{jobs, shells};
use sandbox::TerminalSize;
pub use tty::TtyError;
pub use verbs::{TerminalView, attach, check, close, list, screen};

/// The size of a terminal that no window shows yet.
pub(crate) const SIZE: TerminalSize = TerminalSize { rows: 48, columns: 160 };
