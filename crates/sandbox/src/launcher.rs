//! Which program becomes a sandbox's first process or a supervisor: this one, started again. Tests, whose own binary cannot do it, name
//! another one.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    init,
    probe::{self, PROBE},
    supervisor,
};

/// The first argument of a program that is to become a sandbox.
pub(crate) const INIT: &str = "sandbox-init";
/// That of one that starts a supervisor.
pub(crate) const SUPERVISOR: &str = "sandbox-supervisor";
/// That of one that is to become a supervisor.
pub(crate) const SUPERVISOR_STAYS: &str = "sandbox-supervisor-stays";

/// The program that is started to build a sandbox. It must call [`crate::maybe_run_init`] first thing in `main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    path: PathBuf,
}

static CHOSEN: OnceLock<Launcher> = OnceLock::new();

impl Launcher {
    /// This program, even after its file was replaced by a newer one.
    pub fn this_program() -> Self {
        Self { path: PathBuf::from("/proc/self/exe") }
    }

    /// Another program.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes this the launcher of all sandboxes of this process. The first call wins; later ones change nothing and
    /// return false if they name another program.
    pub fn use_for_all(self) -> bool {
        CHOSEN.get_or_init(|| self.clone()) == &self
    }

    pub(crate) fn chosen() -> Self {
        CHOSEN.get().cloned().unwrap_or_else(Self::this_program)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Must be the first thing in `main`, before any thread is started: when this process was started as the inside of a
/// sandbox, or as the supervisor of one, it never returns.
pub fn maybe_run_init() {
    match std::env::args_os().nth(1) {
        Some(verb) if verb == INIT => init::run(),
        Some(verb) if verb == SUPERVISOR => supervisor::start_second(),
        Some(verb) if verb == SUPERVISOR_STAYS => supervisor::run(),
        Some(verb) if verb == PROBE => probe::run(),
        Some(_) | None => {}
    }
}
