//! Terminals: what a window of our tmux runs, and the windows themselves as the command line asks for them. Owns how a pane
//! looks; must not decide anything, nor hold anything that is lost with a window. Start with [`pane`].

mod pane;
mod place;
mod tty;
mod verbs;

pub use pane::pane;
pub use place::Place;
pub(crate) use place::shells;
pub use tty::TtyError;
pub use verbs::{TerminalView, attach, check, close, list, screen};
