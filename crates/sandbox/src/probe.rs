//! The other half of the self-test: this program, run inside a sandbox, tries to get out by every way on the list. Each
//! attempt runs in a process of its own, so that one that is killed or hangs says so and harms no other. Must not be lenient:
//! what is not clearly refused counts as an escape.

mod calls;
mod files;
mod identity;
mod kernel;
mod processes;
mod sockets;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::spec::Profile;

/// The first argument of a program that is to try the list.
pub(crate) const PROBE: &str = "sandbox-probe";
/// The seconds that one attempt may take.
const PATIENCE: u32 = 3;

/// What lies outside for the attempts to reach for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baits {
    /// A file beside the workspace.
    pub file: String,
    /// What is in it.
    pub content: String,
    /// A listening UNIX socket beside the workspace.
    pub socket: String,
    /// The name of a listening abstract UNIX socket.
    pub abstract_name: String,
    /// The port of a listening TCP socket on the host's loopback.
    pub port: u16,
    /// The homes of the host's people.
    pub homes: Vec<String>,
    /// The owner's extra mounts.
    pub mounts: Vec<String>,
    /// The profile that must hold.
    pub profile: Profile,
}

/// What came of one attempt, as the probe says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It was refused.
    Held,
    /// It worked, or was not clearly refused.
    Escaped,
    /// This system has no such thing.
    NotApplicable(String),
}

/// One line of the probe's output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The attempt.
    pub id: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// One way out.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    /// A short stable name.
    pub id: &'static str,
    /// What is tried.
    pub what: &'static str,
    only: Only,
    run: fn(&Baits) -> bool,
}

/// Where an attempt makes sense.
#[derive(Clone, Copy)]
enum Only {
    Everywhere,
    /// In the strict profile.
    Strict,
    /// On x86-64.
    X86,
}

/// Declares an attempt: its function gives whether it was refused.
const fn attempt(id: &'static str, what: &'static str, run: fn(&Baits) -> bool) -> Attempt {
    Attempt { id, what, only: Only::Everywhere, run }
}

impl Attempt {
    const fn only(self, only: Only) -> Self {
        Self { only, ..self }
    }

    fn verdict(&self, baits: &Baits) -> Verdict {
        let reason = match self.only {
            Only::Everywhere => None,
            Only::Strict => (baits.profile != Profile::Strict).then_some("the profile is not strict"),
            Only::X86 => (!cfg!(target_arch = "x86_64")).then_some("this machine has no other manner of calling"),
        };
        match reason {
            Some(reason) => Verdict::NotApplicable(reason.to_owned()),
            None => calls::in_own_process(PATIENCE, || (self.run)(baits)),
        }
    }
}

/// All attempts.
pub(crate) fn attempts() -> impl Iterator<Item = &'static Attempt> {
    files::ALL.iter().chain(processes::ALL).chain(kernel::ALL).chain(sockets::ALL).chain(identity::ALL)
}

/// Tries everything and writes a line for each attempt to standard output.
pub(crate) fn run() -> ! {
    let baits = std::env::args().nth(2).and_then(|text| serde_json::from_str::<Baits>(&text).ok());
    // Inside nobody is root; outside, as root, the attempts would do harm.
    let Some(baits) = baits.filter(|_| !rustix::process::geteuid().is_root()) else { std::process::exit(2) };
    let mut output = io::stdout().lock();
    for attempt in attempts() {
        let line = Line { id: attempt.id.to_owned(), verdict: attempt.verdict(&baits) };
        let written = serde_json::to_string(&line).map_err(io::Error::from).and_then(|text| writeln!(output, "{text}"));
        if written.is_err() {
            std::process::exit(3);
        }
    }
    std::process::exit(0)
}
