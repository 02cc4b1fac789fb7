//! The windows, for the command line: it asks tmux itself, whether or not a daemon runs.

use std::{io::Write, path::Path};

use sandbox::{Tmux, TmuxError, Window};
use serde::Serialize;
use types::{Failure, FailureKind};

use super::Place;
use crate::failure::user;

/// A terminal, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TerminalView {
    /// Its name, such as `job-7`.
    pub name: String,
    /// The process in its window.
    pub pid: i32,
    /// Whether what the window shows is still alive.
    pub is_alive: bool,
}

/// All terminals of a home.
pub async fn list(home: &Path) -> Result<Vec<TerminalView>, Failure> {
    let windows = tmux(home)?.list().await.map_err(|error| failure(&error))?;
    let view = |Window { name, pid, is_dead }| TerminalView { name, pid, is_alive: !is_dead };
    Ok(windows.into_iter().map(view).collect())
}

/// What a terminal shows, as text.
pub async fn screen(home: &Path, place: Place, with_history: bool) -> Result<String, Failure> {
    tmux(home)?.capture(&place.to_string(), with_history).await.map_err(|error| failure(&error))
}

/// Makes sure that there is a window for this, and becomes a client that shows it. Returns only on failure.
pub async fn attach(home: &Path, place: Place, term: Option<&str>) -> Result<std::convert::Infallible, Failure> {
    let tmux = tmux(home)?;
    open(&tmux, home, place).await.map_err(|error| failure(&error))?;
    // What was printed so far belongs before the window.
    _ = std::io::stdout().flush();
    Err(failure(&tmux.attach(&place.to_string(), term.unwrap_or("xterm-256color"))))
}

/// Opens the window of a job or a shell, if it is not there.
pub(crate) async fn open(tmux: &Tmux, home: &Path, place: Place) -> Result<(), TmuxError> {
    let (home, name) = (home.to_string_lossy(), place.to_string());
    tmux.open(&name, &["--home", &home, "pane", &name]).await
}

/// Closes the window of a job or a shell that is over, if it has one.
pub(crate) async fn close(home: &Path, place: Place) {
    // Without a server there is nothing to ask.
    let Ok(tmux) = tmux(home) else { return };
    if !tmux.was_started() {
        return;
    }
    if let Err(error) = tmux.close(&place.to_string()).await {
        tracing::debug!(%place, %error, "a window is left");
    }
}

/// The terminals of a home.
fn tmux(home: &Path) -> Result<Tmux, Failure> {
    Tmux::new(home).map_err(|error| failure(&TmuxError::Io(error)))
}

/// What the owner sees of it.
pub(crate) fn failure(error: &TmuxError) -> Failure {
    let hint = match error {
        TmuxError::Missing => "install it, for example with `apt install tmux`; jobs go on without it",
        TmuxError::NoWindow(_) => "`factotum terminals` lists them",
        TmuxError::Io(_) | TmuxError::Slow | TmuxError::Refused(_) => {
            return Failure { kind: FailureKind::Internal, error: error.to_string(), hint: None };
        }
    };
    user(error.to_string(), hint)
}
