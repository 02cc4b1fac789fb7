//! The supervisor's process. One thread that waits for the program, the clients, the sandbox and the clock, and does one thing
//! at a time, so that the order of the records is the order of what happened. Reads no configuration, opens no store and no
//! vault, and lets nobody look into its memory. Start with [`run`].

mod begin;
mod clients;
mod orders;
mod replay;
mod seat;
mod talk;

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    process::abort,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    net::SocketType,
    process::{DumpableBehavior, set_dumpable_behavior},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until, timeout},
};

use super::{What, client::SOCKET, journal::Journal, protocol::Welcome};
use crate::{Sandbox, init::claim_socket, running::Ending, supervisor::SupervisorLimits};

use clients::{ClientId, Clients, Heard, Role};
use seat::{Seat, SeatDid};
use talk::{Did, Talk};

/// How often it is tried to write to a full disk, and for how long before the program is ended.
const FULL_RETRY: Duration = Duration::from_millis(200);
const FULL_PATIENCE: Duration = Duration::from_secs(5);
/// How long the records may wait for room on the disk, and answers for being taken, when all is over.
const LAST_RETRIES: u32 = 10;
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A program that was ended from outside, in the words of the records.
mod why {
    pub const KILLED: &str = "killed";
    pub const MEMORY: &str = "out of memory";
    pub const DISK: &str = "disk full";
    pub const LOG: &str = "too many records";
    pub const LATE: &str = "too late";
    pub const ALONE: &str = "no daemon came";
    pub const SANDBOX: &str = "the sandbox ended";
    pub const SUPERVISOR: &str = "the supervisor was ended";
    pub const DIED: &str = "the supervisor died";
}

/// Becomes a supervisor. Standard input is the connection to whoever wants it.
pub(crate) fn run() -> ! {
    let Ok(socket) = claim_socket(SocketType::STREAM) else { std::process::exit(2) };
    if harden().is_err() {
        std::process::exit(3);
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // The only other thread looks at directories while the sandbox is built.
    runtime.enable_all().max_blocking_threads(1).thread_keep_alive(Duration::from_millis(1));
    let Ok(runtime) = runtime.build() else { std::process::exit(4) };
    runtime.block_on(live(socket));
    std::process::exit(0)
}

/// Nobody may look into the memory of whoever holds custody, no core file is written of it, and nothing half broken goes on.
fn harden() -> rustix::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    std::panic::set_hook(Box::new(|_| abort()));
    Ok(())
}

async fn live(socket: OwnedFd) {
    if let Some(supervisor) = begin::begin(socket).await {
        supervisor.supervise().await;
    }
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this process is an edge of its own, and stamps what happens")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Everything that a supervisor has.
struct Supervisor {
    directory: PathBuf,
    limits: SupervisorLimits,
    welcome: Welcome,
    sandbox: Sandbox,
    door: OwnedFd,
    custody: Vec<u8>,
    /// This process, for whoever must wait for its end.
    own: OwnedFd,
    journal: Journal,
    clients: Clients,
    program: Option<Talk>,
    /// Where a person works. Never beside a program.
    seat: Option<Seat>,
    /// What its lines may begin with that are left out when the records grow too long.
    fleeting: Vec<String>,
    /// Whether that was remarked.
    is_thinned: bool,
    /// The number of the last run.
    runs: u64,
    /// Daemons that wait until the one before them is gone, and since when.
    waiting: Option<(ClientId, u64, Instant)>,
    clock: Deadlines,
}

/// Until when.
struct Deadlines {
    /// A daemon must have come; none while one is attached.
    alone: Option<Instant>,
    /// All must be over.
    total: Instant,
    /// The disk must have room; none while it has.
    full: Option<Instant>,
}

/// What happened, as far as the supervisor must do something.
enum Happened {
    Client(ClientId, Heard),
    Program(Did),
    Seat(SeatDid),
    /// It is time to look at the deadlines.
    Time,
    SandboxEnded,
    Terminated,
}

/// Whether to go on.
#[derive(PartialEq)]
enum Next {
    GoOn,
    /// All is over, and why.
    End(&'static str),
}

impl Supervisor {
    /// Lives until something ends it, and leaves nothing behind but the records.
    async fn supervise(mut self) {
        let mut terminated = signal(SignalKind::terminate()).ok();
        let why = loop {
            let happened = self.wait(&mut terminated).await;
            match self.react(happened).await {
                Next::GoOn => {}
                Next::End(why) => break why,
            }
        };
        self.end_program(why).await;
        self.close_seat().await;
        self.sandbox.stop().await;
        for _ in 0..LAST_RETRIES {
            self.journal.retry();
            if !self.journal.is_full() {
                break;
            }
            tokio::time::sleep(FULL_RETRY).await;
        }
        self.journal.sync();
        // Whoever finds it finds nobody behind it.
        _ = std::fs::remove_file(self.directory.join(SOCKET));
        _ = timeout(LAST_ANSWERS, self.clients.part()).await;
    }

    async fn wait(&mut self, terminated: &mut Option<Signal>) -> Happened {
        let next_look = self.next_look();
        let Self { clients, program, seat, sandbox, journal, .. } = self;
        // While the disk is full the program is not listened to, and waits by itself.
        let is_full = journal.is_full();
        let program = async {
            match program {
                Some(program) if !is_full => program.next().await,
                _ => std::future::pending().await,
            }
        };
        let seat = async {
            match seat {
                Some(seat) => seat.next().await,
                None => std::future::pending().await,
            }
        };
        let terminated = async {
            match terminated {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (id, heard) = clients.next() => Happened::Client(id, heard),
            did = program => Happened::Program(did),
            did = seat => Happened::Seat(did),
            () = sleep_until(next_look) => Happened::Time,
            () = sandbox.ended() => Happened::SandboxEnded,
            _ = terminated => Happened::Terminated,
        }
    }

    /// When to look at the clock next.
    fn next_look(&self) -> Instant {
        let Deadlines { alone, total, full } = &self.clock;
        let retry = full.map(|_| Instant::now() + FULL_RETRY);
        let waiting = self.waiting.map(|(_, _, since)| since + orders::DAEMON_LEAVES);
        [*alone, retry, waiting].into_iter().flatten().fold(*total, Instant::min)
    }

    async fn react(&mut self, happened: Happened) -> Next {
        let next = match happened {
            Happened::Client(id, heard) => self.heard(id, heard).await,
            Happened::Program(did) => self.program_did(did).await,
            Happened::Seat(did) => self.seat_did(did).await,
            Happened::Time => self.look_at_clock().await,
            Happened::SandboxEnded => Next::End(why::SANDBOX),
            Happened::Terminated => Next::End(why::SUPERVISOR),
        };
        self.clock.alone = match (self.clients.have_daemon(), self.clock.alone) {
            (true, _) => None,
            (false, None) => Some(after(self.limits.alone)),
            (false, alone) => alone,
        };
        self.clock.full = match (self.journal.is_full(), self.clock.full) {
            (false, _) => None,
            (true, None) => Some(Instant::now() + FULL_PATIENCE),
            (true, full) => full,
        };
        next
    }

    async fn program_did(&mut self, did: Did) -> Next {
        match did {
            Did::Said(all) => {
                self.record_all(all);
                if self.journal.written().bytes > self.limits.log_bytes.saturating_mul(2) {
                    self.end_program(why::LOG).await;
                }
            }
            Did::Read => {}
            Did::FilledDisk => self.end_program(why::DISK).await,
            Did::Ended(Ending::Gone) => return Next::End(why::SANDBOX),
            Did::Ended(ending) => {
                if let Some(talk) = self.program.take() {
                    talk.piped.kill(&[]).await;
                    self.bury(talk, ending, None).await;
                }
            }
        }
        Next::GoOn
    }

    async fn seat_did(&mut self, did: SeatDid) -> Next {
        match did {
            SeatDid::Work => {}
            SeatDid::Ended(Ending::Gone) => return Next::End(why::SANDBOX),
            SeatDid::Ended(_) => self.close_seat().await,
            SeatDid::Idle => {
                self.journal.add(What::Note { text: "nothing was typed or shown for too long".to_owned() });
                self.close_seat().await;
            }
            SeatDid::FilledDisk => {
                self.journal.add(What::Note { text: "the terminal's program used too much of the disk".to_owned() });
                self.close_seat().await;
            }
        }
        Next::GoOn
    }

    /// Ends the program at the terminal with all that it started, if there is one, and records its end.
    async fn close_seat(&mut self) {
        if let Some(seat) = self.seat.take() {
            let code = seat.close().await;
            self.journal.add(What::TerminalClosed { code });
            self.journal.sync();
        }
    }

    async fn look_at_clock(&mut self) -> Next {
        self.journal.retry();
        let now = Instant::now();
        if self.clock.full.is_some_and(|until| now >= until) && self.journal.is_full() {
            self.end_program(why::DISK).await;
        }
        self.admit_daemon(now);
        if now >= self.clock.total {
            return Next::End(why::LATE);
        }
        if self.clock.alone.is_some_and(|until| now >= until) { Next::End(why::ALONE) } else { Next::GoOn }
    }

    /// Records what the program said, or as much of it as there is room for.
    fn record_all(&mut self, all: Vec<What>) {
        for what in all {
            if self.journal.written().bytes > self.limits.log_bytes && self.is_fleeting(&what) {
                if !self.is_thinned {
                    self.is_thinned = true;
                    let text =
                        "the records have grown long: lines that only repeat or remark are left out from here on";
                    self.journal.add(What::Note { text: text.to_owned() });
                }
                continue;
            }
            self.journal.add(what);
        }
    }

    fn is_fleeting(&self, what: &What) -> bool {
        match what {
            What::Err { .. } => true,
            What::Out { line } => self.fleeting.iter().any(|start| line.starts_with(start.as_str())),
            What::Started { .. }
            | What::In { .. }
            | What::Ended { .. }
            | What::TerminalOpened { .. }
            | What::TerminalClosed { .. }
            | What::Note { .. } => false,
        }
    }

    /// Kills the program with all that it started, if one runs, and records its end.
    async fn end_program(&mut self, why: &'static str) {
        if let Some(mut talk) = self.program.take() {
            let ending = talk.piped.end(&[]).await;
            self.bury(talk, ending, Some(why)).await;
        }
    }

    /// Records the last words and the end of a program.
    async fn bury(&mut self, mut talk: Talk, ending: Ending, why: Option<&'static str>) {
        let last_words = talk.last_words().await;
        self.record_all(last_words);
        let for_memory = (ending != Ending::Code(0) && talk.piped.ran_out_of_memory()).then_some(why::MEMORY);
        let (code, signal, gone) = match ending {
            Ending::Code(code) => (Some(code), None, None),
            Ending::Signal(signal) => (None, Some(signal), None),
            Ending::Gone => (None, None, Some(why::SANDBOX)),
        };
        let why = why.or(gone).or(for_memory).map(str::to_owned);
        self.journal.add(What::Ended { code, signal, why });
        self.journal.sync();
    }
}

/// A moment so far away, or the farthest that there is.
fn after(time: Duration) -> Instant {
    const FARTHEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Instant::now() + time.min(FARTHEST)
}
