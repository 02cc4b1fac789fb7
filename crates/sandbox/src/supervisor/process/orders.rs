//! What clients order, and what becomes of it.

use std::{os::fd::OwnedFd, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::{ClientId, Heard, Next, Role, Supervisor, clients::Parcel, seat::Seat, talk::Talk, why};
use crate::{
    SandboxError, TerminalProgram, TerminalSize,
    running::PipedProgram,
    supervisor::{
        Program, Transport, What,
        frames::Frame,
        protocol::{Answer, Ask, AskOfAnyVersion, OTHER_LANGUAGE, Order, PROTOCOL, Refusal, Tell, Welcome},
    },
};

/// How long a new daemon waits for the one before it to be gone, which it is by construction: what it had ordered before it
/// was killed is still heard.
pub(super) const DAEMON_LEAVES: Duration = Duration::from_secs(3);

/// What whoever orders something is told while nothing can be recorded.
const FULL: &str = "the disk is full, so nothing can be recorded; make room and try again";

impl Supervisor {
    pub(super) async fn heard(&mut self, id: ClientId, heard: Heard) -> Next {
        match heard {
            Heard::Frame(frame) => self.asked(id, &frame).await,
            Heard::Gone => {
                self.admit_daemon(Instant::now());
                Next::GoOn
            }
        }
    }

    async fn asked(&mut self, client: ClientId, frame: &Frame) -> Next {
        let Ask { id, name, order } = match serde_json::from_slice(&frame.text) {
            Ok(ask) => ask,
            Err(error) => {
                // Without a number there is nobody to answer.
                if let Ok(AskOfAnyVersion { id }) = serde_json::from_slice(&frame.text) {
                    let why = format!("it does not know this order; it is older than the daemon, or newer: {error}");
                    self.clients.answer(client, id, Answer::Refused(Refusal::Other { why }));
                }
                return Next::GoOn;
            }
        };
        let answer = match (order, self.clients.role(client)) {
            (Order::Hello { protocol, is_daemon }, _) => {
                self.hello(client, id, protocol, is_daemon);
                return Next::GoOn;
            }
            (Order::JoinTerminal { size }, Role::Onlooker | Role::Daemon) => match self.join(size) {
                Ok(stream) => {
                    let tell = Tell::Answer { id, answer: Answer::Done };
                    self.clients.send(client, Parcel { tell, bytes: Vec::new(), fds: vec![stream] });
                    return Next::GoOn;
                }
                Err(refusal) => Answer::Refused(refusal),
            },
            (Order::ResizeTerminal { size }, Role::Onlooker | Role::Daemon) => match &mut self.seat {
                Some(seat) => seat.resize(size).map_or_else(|error| refuse(&error.to_string()), |()| Answer::Done),
                None => Answer::Refused(Refusal::NoTerminal),
            },
            (_, Role::Unknown | Role::Onlooker) => refuse("only the daemon may order"),
            (order, Role::Daemon) => match self.clients.remembered(&name) {
                Some(answer) => answer,
                None => {
                    let is_end = matches!(order, Order::End);
                    let answer = self.carry_out(order).await;
                    self.clients.remember(name, &answer);
                    if is_end {
                        self.clients.answer(client, id, answer);
                        return Next::End(why::SUPERVISOR);
                    }
                    answer
                }
            },
        };
        self.clients.answer(client, id, answer);
        Next::GoOn
    }

    async fn carry_out(&mut self, order: Order) -> Answer {
        match order {
            Order::Run { program, note } => match self.run(program, note).await {
                Ok(run) => Answer::Running { run },
                Err(refusal) => Answer::Refused(refusal),
            },
            Order::Write { cause, lines } => match self.write(cause, lines) {
                Ok(()) => Answer::Done,
                Err(why) => refuse(why),
            },
            Order::Interrupt => match &self.program {
                Some(talk) => {
                    talk.piped.interrupt().await.map_or_else(|error| Answer::Refused(error.into()), |()| Answer::Done)
                }
                None => refuse("no program runs"),
            },
            Order::EndProgram => {
                self.end_program(why::KILLED).await;
                Answer::Done
            }
            Order::OpenTerminal { program } => match self.open_terminal(program).await {
                Ok(()) => Answer::Done,
                Err(refusal) => Answer::Refused(refusal),
            },
            Order::CloseTerminal => {
                self.close_seat().await;
                Answer::Done
            }
            Order::End => Answer::Done,
            Order::Begin(_) | Order::Hello { .. } | Order::JoinTerminal { .. } | Order::ResizeTerminal { .. } => {
                refuse("it has begun already")
            }
        }
    }

    async fn run(&mut self, program: Program, note: Value) -> Result<u64, Refusal> {
        self.require_room()?;
        let Program { argv, env, directory, transport, fleeting } = program;
        let (has_input, is_output_heard) = match transport {
            Transport::Lines => (true, true),
            Transport::Silent => (false, true),
            Transport::Http { .. } => (false, false),
        };
        let started = PipedProgram { argv: argv.clone(), env, directory, has_input };
        let Some(name) = argv.first() else { return Err(not_started("it has no name")) };
        let (piped, pipes) = match self.sandbox.start_piped(started).await {
            Ok(started) => started,
            Err(SandboxError::Command(why)) => return Err(not_started(format!("{name}: {why}"))),
            Err(other) => return Err(other.into()),
        };
        self.runs += 1;
        self.fleeting = fleeting;
        // Nothing that it says is read before this.
        self.journal.add(What::Started { run: self.runs, argv, note });
        let talk = Talk::new(piped, pipes, is_output_heard);
        self.program = Some(match transport {
            Transport::Http { port } => talk.over_http(self.sandbox.connector(port), port),
            Transport::Lines | Transport::Silent => talk,
        });
        Ok(self.runs)
    }

    /// One program runs at a time, and a person works alone.
    fn require_room(&self) -> Result<(), Refusal> {
        if self.program.is_some() {
            return Err(Refusal::other("a program runs already; end it first"));
        }
        if self.seat.is_some() {
            return Err(Refusal::other("a person works at the terminal; close it first"));
        }
        if self.journal.is_full() { Err(Refusal::other(FULL)) } else { Ok(()) }
    }

    async fn open_terminal(&mut self, program: TerminalProgram) -> Result<(), Refusal> {
        self.require_room()?;
        let (argv, size) = (program.argv.clone(), program.size);
        let Some(name) = argv.first() else { return Err(not_started("it has no name")) };
        let terminal = match self.sandbox.open_terminal(program).await {
            Ok(terminal) => terminal,
            Err(SandboxError::Command(why)) => return Err(not_started(format!("{name}: {why}"))),
            Err(other) => return Err(other.into()),
        };
        self.journal.add(What::TerminalOpened { argv });
        self.seat = Some(Seat::new(terminal, size, self.limits.idle));
        Ok(())
    }

    fn join(&mut self, size: TerminalSize) -> Result<OwnedFd, Refusal> {
        let seat = self.seat.as_mut().ok_or(Refusal::NoTerminal)?;
        seat.join(size).map_err(|error| Refusal::other(error.to_string()))
    }

    fn write(&mut self, cause: Value, lines: Vec<String>) -> Result<(), &'static str> {
        let talk = self.program.as_mut().ok_or("no program runs")?;
        talk.can_take(&lines)?;
        if !self.journal.add_now(What::In { cause, lines: lines.clone() }) {
            return Err(FULL);
        }
        talk.write(&lines);
        Ok(())
    }

    fn hello(&mut self, client: ClientId, id: u64, protocol: u32, is_daemon: bool) {
        if protocol != PROTOCOL {
            let why = format!("{OTHER_LANGUAGE} {PROTOCOL}, not {protocol}");
            self.clients.answer(client, id, Answer::Refused(Refusal::Other { why }));
        } else if self.clients.role(client) != Role::Unknown {
            self.clients.answer(client, id, refuse("it has said hello before"));
        } else if is_daemon && self.waiting.is_some() {
            self.clients.answer(client, id, refuse("another daemon waits already"));
        } else if is_daemon && self.clients.have_daemon() {
            self.waiting = Some((client, id, Instant::now()));
        } else {
            self.welcome(client, id, is_daemon);
        }
    }

    /// Lets in the daemon that waits once the one before it is gone; sends it away when that takes too long.
    pub(super) fn admit_daemon(&mut self, now: Instant) {
        let Some((client, id, since)) = self.waiting else { return };
        if !self.clients.have_daemon() {
            self.waiting = None;
            self.welcome(client, id, true);
        } else if now >= since + DAEMON_LEAVES {
            self.waiting = None;
            self.clients.answer(client, id, refuse("another daemon is attached; only one can be"));
        }
    }

    /// Lets a client in.
    pub(super) fn welcome(&mut self, client: ClientId, id: u64, is_daemon: bool) {
        match self.lend(is_daemon) {
            Ok(fds) => {
                let welcome = Welcome { written: self.journal.written(), ..self.welcome.clone() };
                let tell = Tell::Answer { id, answer: Answer::Welcome(welcome) };
                let bytes = if is_daemon { self.custody.clone() } else { Vec::new() };
                self.clients.set_role(client, if is_daemon { Role::Daemon } else { Role::Onlooker });
                self.clients.send(client, Parcel { tell, bytes, fds });
            }
            Err(error) => {
                let why = format!("it cannot lend its door: {error}");
                self.clients.answer(client, id, Answer::Refused(Refusal::Other { why }));
            }
        }
    }
}

fn not_started(why: impl std::fmt::Display) -> Refusal {
    Refusal::other(format!("the program could not be started: {why}"))
}

fn refuse(why: &str) -> Answer {
    Answer::Refused(Refusal::other(why))
}
