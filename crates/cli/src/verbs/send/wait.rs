//! Waiting for the answer: shows progress, lets the owner answer requests, stops or leaves on Ctrl-C.

use std::{io, time::Duration};

use daemon::client::Client;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use types::{Command, Envelope, Event, Failure};

use super::answer::Answer;
use crate::{
    error::{internal, task},
    input::Input,
    output::Output,
    questions::Questions,
    show,
    watch::{Bearing, Follow, Watch},
};

/// One message that waits for its answer.
pub struct Wait {
    output: Output,
    client: Client,
    watch: Watch,
    follow: Follow,
    questions: Questions,
    interrupted: bool,
}

/// What woke us.
enum Woken {
    Event(Box<Envelope>),
    Line(Option<String>),
    Interrupt,
    Timeout,
}

impl Wait {
    /// Waits for the turn that `follow` finds in `watch`.
    pub fn new(output: Output, client: Client, watch: Watch, follow: Follow) -> Self {
        Self { output, client, watch, follow, questions: Questions::default(), interrupted: false }
    }

    /// Returns the answer. Requests are put to a person only if one sits at the terminal and `may_ask`.
    pub async fn run(mut self, timeout: Option<u64>, quiet: bool, may_ask: bool) -> Result<Answer, Failure> {
        let deadline = timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut interrupts = signal(SignalKind::interrupt()).map_err(unavailable)?;
        let asks = may_ask && !self.output.is_json() && Input::is_terminal();
        let mut input = if asks { Some(Input::new().map_err(unavailable)?) } else { None };
        loop {
            match self.wake(&mut interrupts, &mut input, deadline).await? {
                Woken::Event(envelope) => {
                    let bearing = self.follow.see(&envelope);
                    if bearing == Bearing::Elsewhere {
                        continue;
                    }
                    self.show(&envelope, quiet, input.as_mut());
                    if bearing == Bearing::End {
                        return self.finish(*envelope).await;
                    }
                }
                Woken::Line(Some(line)) => self.answer(&line).await,
                Woken::Line(None) => input = None,
                Woken::Interrupt => self.interrupt().await?,
                Woken::Timeout => {
                    return Err(task(
                        format!("there was no answer within {} s", timeout.unwrap_or_default()),
                        "the task goes on; `factotum stop` stops it",
                    ));
                }
            }
        }
    }

    async fn finish(&self, end: Envelope) -> Result<Answer, Failure> {
        let answer = Answer::read(self.follow.inbox(), end);
        let mut answer = answer.ok_or_else(|| internal("the end of a task was misread"))?;
        answer.look_up_changes(&self.client).await;
        Ok(answer)
    }

    /// Waits for whatever comes first.
    async fn wake(
        &mut self,
        interrupts: &mut Signal,
        input: &mut Option<Input>,
        deadline: Option<Instant>,
    ) -> Result<Woken, Failure> {
        let asking = self.questions.oldest().is_some();
        tokio::select! {
            envelope = self.watch.next() => Ok(Woken::Event(Box::new(envelope?))),
            line = next_line(input), if asking => Ok(Woken::Line(line?)),
            _ = interrupts.recv() => Ok(Woken::Interrupt),
            () = until(deadline) => Ok(Woken::Timeout),
        }
    }

    fn show(&mut self, envelope: &Envelope, quiet: bool, input: Option<&mut Input>) {
        let before = self.questions.oldest().map(|request| request.id);
        let is_new = self.questions.see(envelope);
        let is_settled = before.is_some() && before != self.questions.oldest().map(|request| request.id);
        match (input, self.questions.oldest()) {
            (Some(input), Some(request)) if is_new => {
                // What was typed before the question was seen must not answer it.
                input.forget();
                self.output.note(&show::request(request));
                self.output.ask(self.questions.prompt().unwrap_or_default());
            }
            // Whoever sits at the prompt must know that it is answered, even if progress is not wanted.
            _ if is_settled => self.note(&envelope.event),
            _ if is_new || !quiet => {
                self.note(&envelope.event);
            }
            _ => {}
        }
    }

    async fn answer(&mut self, line: &str) {
        if let Some(said) = self.questions.read(line) {
            match self.client.command(&said.command()).await {
                Ok(reply) => {
                    if let Some(text) = self.questions.hear(said, &reply) {
                        self.output.note(&daemon::terminal::neutral(&text));
                    }
                }
                // It was settled elsewhere in the meantime, which the events tell as well; or a code was wrong.
                Err(failure) => self.output.note(&daemon::terminal::neutral(&failure.error)),
            }
        }
        if let Some(prompt) = self.questions.prompt() {
            self.output.ask(prompt);
        }
    }

    fn note(&self, event: &Event) {
        if let Some(text) = show::progress(event) {
            self.output.note(&text);
        }
    }

    async fn interrupt(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.interrupted, true) {
            return Err(task("nobody waits for the answer any more", "the task is being stopped"));
        }
        self.output.note("stopping the task; Ctrl-C again leaves at once");
        let session = Some(self.watch.session().to_string());
        self.client.command(&Command::Stop { session }).await.map(|_| ())
    }
}

async fn next_line(input: &mut Option<Input>) -> Result<Option<String>, Failure> {
    match input {
        Some(input) => input.line().await.map_err(unavailable),
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn unavailable(error: io::Error) -> Failure {
    internal(format!("the terminal cannot be used: {error}"))
}
