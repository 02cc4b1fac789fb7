//! The conversation itself: one loop over what is typed, what happens and Ctrl-C.

use std::collections::BTreeSet;

use daemon::client::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use types::{
    Ask, Command, CommandReply, Envelope, Event, Failure, FailureKind, OwnerRequest, SessionId, TurnId, WhenBusy,
    WorkspaceName,
};

use super::place::Place;
use crate::{
    args::Context,
    error::{Stop, internal, task},
    input::Input,
    output::Output,
    questions::Questions,
    show::{self, Live},
    verbs,
    watch::{Bearing, Follow},
};

/// A conversation.
pub struct Talk {
    output: Output,
    client: Client,
    place: Place,
    workspace: Option<WorkspaceName>,
    input: Input,
    interrupts: Signal,
    questions: Questions,
    live: Live,
    /// Messages of ours that wait for their answer.
    waiting: Vec<Follow>,
    running: BTreeSet<TurnId>,
    /// The input has ended; what waits is still shown.
    ending: bool,
    /// Ctrl-C was pressed while nothing ran.
    leaving: bool,
}

/// What woke us.
enum Woken {
    Event(Box<Envelope>),
    Line(Option<String>),
    Interrupt,
}

impl Talk {
    /// Finds the session and says where we are.
    pub async fn start(
        context: &Context,
        session: Option<String>,
        workspace: Option<WorkspaceName>,
    ) -> Result<Self, Failure> {
        let unusable = |error| internal(format!("the terminal cannot be used: {error}"));
        let client = context.client().await?;
        let place = Place::find(client.clone(), session).await?;
        let mut talk = Self {
            output: context.output,
            client,
            place,
            workspace,
            input: Input::new().map_err(unusable)?,
            interrupts: signal(SignalKind::interrupt()).map_err(unusable)?,
            questions: Questions::default(),
            live: Live::default(),
            waiting: Vec::new(),
            running: BTreeSet::new(),
            ending: false,
            leaving: false,
        };
        talk.arrive().await?;
        Ok(talk)
    }

    /// Talks until the person leaves.
    pub async fn run(mut self) -> Result<(), Stop> {
        if Input::is_terminal() {
            self.output.note("/help lists the commands, Ctrl-C stops a task, Ctrl-D leaves");
        }
        self.prompt();
        loop {
            if self.ending && self.waiting.is_empty() {
                return Ok(());
            }
            if self.ending
                && let Some(request) = self.questions.oldest()
            {
                // Nobody is left to answer; waiting would last until the request expires.
                return Err(unanswered(request).into());
            }
            match self.wake().await? {
                Woken::Event(envelope) => self.see(&envelope)?,
                Woken::Line(Some(line)) => self.say(&line).await?,
                // A person who leaves need not wait; a script wants its answers.
                Woken::Line(None) if Input::is_terminal() => return self.output.text("\n"),
                Woken::Line(None) => self.ending = true,
                Woken::Interrupt => {
                    if self.interrupt().await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn wake(&mut self) -> Result<Woken, Failure> {
        // A script is a conversation: its next line comes after the answer to the one before. A person may interject.
        let has_turn = Input::is_terminal() || self.waiting.is_empty() || self.questions.oldest().is_some();
        tokio::select! {
            envelope = self.place.next() => Ok(Woken::Event(Box::new(envelope?))),
            line = self.input.line(), if has_turn && !self.ending => {
                line.map(Woken::Line).map_err(|error| internal(format!("the input cannot be read: {error}")))
            }
            _ = self.interrupts.recv() => Ok(Woken::Interrupt),
        }
    }

    fn see(&mut self, envelope: &Envelope) -> Result<(), Stop> {
        self.waiting.retain_mut(|follow| follow.see(envelope) != Bearing::End);
        self.keep_count(envelope);
        let asked = self.questions.see(envelope);
        if self.output.is_json() {
            return self.output.fact(envelope, |_| String::new());
        }
        if asked {
            // The request is shown whole below, in place of the short line.
            return self.put_question();
        }
        let text = self.live.show(&envelope.event);
        self.output.piece(&text)?;
        if matches!(envelope.event, Event::TurnFinished { .. }) {
            self.prompt();
        }
        Ok(())
    }

    fn keep_count(&mut self, envelope: &Envelope) {
        let Some(turn) = envelope.turn else { return };
        if matches!(envelope.event, Event::TurnStarted { .. } | Event::TurnResumed) {
            self.running.insert(turn);
        }
        if matches!(envelope.event, Event::TurnFinished { .. }) {
            self.running.remove(&turn);
        }
    }

    /// Shows the oldest request. What was typed before it was seen must not answer it.
    fn put_question(&mut self) -> Result<(), Stop> {
        let Some(request) = self.questions.oldest() else { return Ok(()) };
        self.input.forget();
        self.output.piece(self.live.end_line())?;
        self.output.text(&show::request(request))?;
        self.output.ask(self.questions.prompt().unwrap_or_default());
        Ok(())
    }

    /// A typed line: an answer to the oldest request, or a message.
    async fn say(&mut self, line: &str) -> Result<(), Stop> {
        self.leaving = false;
        if line.trim().is_empty() {
            self.prompt();
            return Ok(());
        }
        let was_deciding = self.questions.is_deciding();
        if let Some(said) = self.questions.read(line) {
            // What came of it is told by the events, as for everybody else who watches. The next line is not for it.
            match self.client.command(&said.command()).await {
                Ok(reply) => {
                    if let Some(text) = self.questions.hear(said, &reply) {
                        self.output.note(&daemon::terminal::neutral(&text));
                        self.prompt();
                    }
                }
                Err(failure) => self.refused(&failure),
            }
            return Ok(());
        }
        if was_deciding {
            // A line that is no code must not reach the model as a message.
            self.prompt();
            return Ok(());
        }
        let command = Command::Send {
            text: line.to_owned(),
            session: self.place.name(),
            workspace: self.workspace.clone(),
            when_busy: WhenBusy::Steer,
            id: None,
        };
        match self.client.command(&command).await {
            Ok(CommandReply::Accepted { inbox, session, since, .. }) => {
                if self.place.go(session, since) {
                    self.forget_place();
                }
                self.waiting.push(Follow::new(inbox));
                Ok(())
            }
            Ok(
                reply @ (CommandReply::Said { .. }
                | CommandReply::Done { .. }
                | CommandReply::CodeNeeded { .. }
                | CommandReply::Job { .. }
                | CommandReply::Shell { .. }
                | CommandReply::Confirm { .. }),
            ) => {
                verbs::tell(self.output, &reply)?;
                self.look_around().await?;
                self.prompt();
                Ok(())
            }
            // A refused message is no reason to leave.
            Err(failure) if failure.kind != FailureKind::Network || Input::is_terminal() => {
                self.refused(&failure);
                Ok(())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn refused(&mut self, failure: &Failure) {
        self.output.note(&daemon::terminal::neutral(&format!("error: {}", failure.error)));
        if let Some(hint) = &failure.hint {
            self.output.note(&daemon::terminal::neutral(&format!("hint: {hint}")));
        }
        self.prompt();
    }

    /// A slash command may have changed where messages go.
    async fn look_around(&mut self) -> Result<(), Failure> {
        if self.place.look().await? {
            self.forget_place();
            self.arrive().await?;
        }
        Ok(())
    }

    /// What was known of another session.
    fn forget_place(&mut self) {
        self.questions = Questions::default();
        self.live = Live::default();
        self.running.clear();
        self.waiting.clear();
    }

    /// Says which session this is, and shows what waits in it.
    async fn arrive(&mut self) -> Result<(), Failure> {
        let Some(session) = self.place.session() else { return Ok(()) };
        let sessions = self.client.sessions().await?;
        if let Some(view) = sessions.iter().find(|view| view.id == session) {
            self.running.extend(view.running);
            let title = daemon::terminal::neutral(&view.title);
            self.output.note(&format!("session {session} ({title}) in workspace {}", view.workspace));
        }
        for request in self.open_requests(session).await? {
            if self.questions.add(request.clone()) {
                self.output.note(&show::request(&request));
            }
        }
        Ok(())
    }

    async fn open_requests(&self, session: SessionId) -> Result<Vec<OwnerRequest>, Failure> {
        let mut open = self.client.approvals().await?;
        open.retain(|request| request.session == session);
        Ok(open)
    }

    /// Ctrl-C stops the task; when nothing runs, the second one leaves. True to leave.
    async fn interrupt(&mut self) -> Result<bool, Failure> {
        self.output.note("");
        let Some(session) = self.place.session().filter(|_| !self.running.is_empty() || !self.waiting.is_empty())
        else {
            if std::mem::replace(&mut self.leaving, true) {
                return Ok(true);
            }
            self.output.note("nothing runs; Ctrl-C again or Ctrl-D leaves");
            self.prompt();
            return Ok(false);
        };
        if let Err(failure) = self.client.command(&Command::Stop { session: Some(session.to_string()) }).await {
            self.refused(&failure);
        }
        Ok(false)
    }

    fn prompt(&self) {
        if !Input::is_terminal() || self.output.is_json() {
            return;
        }
        self.output.ask(self.questions.prompt().unwrap_or("> "));
    }
}

/// The end of a script that leaves a request open.
fn unanswered(request: &OwnerRequest) -> Failure {
    let (id, session) = (request.id, request.session);
    let hint = match request.ask {
        Ask::Approval(_) => format!("`factotum approve {id}` or `factotum deny {id}`; the task goes on then"),
        Ask::Question { .. } => format!("answer with `factotum send --session {session} TEXT`; the task goes on then"),
    };
    task(format!("the input has ended, and request {id} waits for your answer"), hint)
}
