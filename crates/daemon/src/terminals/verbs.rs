//! The windows, for the command line: it asks tmux itself, whether or not a daemon runs.

use std::{io::Write, path::Path};

use sandbox::{Supervised, Tmux, TmuxError, Window};
use serde::Serialize;
use types::{Failure, FailureKind, ShellName};

use super::{Place, place::shells};
use crate::failure::user;

/// A terminal, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TerminalView {
    /// Its name, such as `job-7`.
    pub name: String,
    /// The process in its window; none for a shell that has no window at present.
    pub pid: Option<i32>,
    /// Whether what the window shows is still alive.
    pub is_alive: bool,
}

/// All terminals of a home: those with a window, and shells without one.
pub async fn list(home: &Path) -> Result<Vec<TerminalView>, Failure> {
    let windows = match tmux(home)?.list().await {
        // Shells are there all the same.
        Err(TmuxError::Missing) => Vec::new(),
        listed => listed.map_err(|error| failure(&error))?,
    };
    let view = |Window { name, pid, is_dead }| TerminalView { name, pid: Some(pid), is_alive: !is_dead };
    let mut all: Vec<TerminalView> = windows.into_iter().map(view).collect();
    for name in shell_names(home) {
        let place = Place::Shell(name);
        if !all.iter().any(|view| view.name == place.to_string()) && lives(home, &place).await {
            all.push(TerminalView { name: place.to_string(), pid: None, is_alive: true });
        }
    }
    Ok(all)
}

/// The shells that have a directory, by name.
fn shell_names(home: &Path) -> Vec<ShellName> {
    let Ok(entries) = std::fs::read_dir(shells(home)) else { return Vec::new() };
    let name = |entry: std::fs::DirEntry| ShellName::new(entry.file_name().into_string().ok()?).ok();
    let mut names: Vec<ShellName> = entries.flatten().filter_map(name).collect();
    names.sort();
    names
}

/// Whether a supervisor lives there, understood or not.
async fn lives(home: &Path, place: &Place) -> bool {
    !matches!(Supervised::look(&place.directory(home)).await, Ok(None))
}

/// What a terminal shows, as text.
pub async fn screen(home: &Path, place: &Place, with_history: bool) -> Result<String, Failure> {
    tmux(home)?.capture(&place.to_string(), with_history).await.map_err(|error| failure(&error))
}

/// Fails if there can be no windows here, with what to do.
pub async fn check(home: &Path) -> Result<(), Failure> {
    tmux(home)?.list().await.map(drop).map_err(|error| failure(&error))
}

/// Makes sure that there is a window for this, and becomes a client that shows it. Returns only on failure.
pub async fn attach(home: &Path, place: &Place, term: Option<&str>) -> Result<std::convert::Infallible, Failure> {
    exists(home, place).await?;
    let tmux = tmux(home)?;
    open(&tmux, home, place).await.map_err(|error| failure(&error))?;
    // What was printed so far belongs before the window.
    _ = std::io::stdout().flush();
    Err(failure(&tmux.attach(&place.to_string(), term.unwrap_or("xterm-256color"))))
}

/// A window of nothing would only puzzle.
async fn exists(home: &Path, place: &Place) -> Result<(), Failure> {
    match place {
        Place::Job(id) if !place.directory(home).exists() => {
            let hint = "`factotum job list` lists the jobs; one that waits for its turn has nothing to show yet";
            Err(user(format!("job {id} has nothing to show: it has not begun, or its files were removed"), hint))
        }
        Place::Shell(name) if !lives(home, place).await => {
            Err(user(format!("there is no shell {name}"), format!("`factotum shell --name {name}` opens one")))
        }
        Place::Job(_) | Place::Shell(_) => Ok(()),
    }
}

/// Opens the window of a job or a shell, if it is not there.
pub(crate) async fn open(tmux: &Tmux, home: &Path, place: &Place) -> Result<(), TmuxError> {
    let (home, name) = (home.to_string_lossy(), place.to_string());
    tmux.open(&name, &["--home", &home, "pane", &name]).await
}

/// Closes the window of a job or a shell, if it has one. What it shows goes on if it is not over.
pub async fn close(home: &Path, place: &Place) {
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
