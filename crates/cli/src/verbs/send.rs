//! `factotum send`: one message, and its answer.

mod answer;
mod wait;

use types::{Command, CommandReply, Failure, Seq, WhenBusy, WorkspaceName};

use crate::{
    args::Context,
    error::{Stop, user},
    prompt, runtime,
    watch::{Follow, Watch},
};
use wait::Wait;

/// The most bytes of a message; the daemon takes no more. It is checked here as well, so that a huge file is not read.
const MAX_TEXT: u64 = 64 << 10;

/// Says something to the agent and waits for its answer. The answer goes to standard output, what happens on the way to
/// standard error. Ctrl-C stops the task; a second Ctrl-C leaves without waiting.
///
/// The text may be a slash command; /help lists them. Exit codes: 0 answered, 2 the message was refused, 4 no daemon,
/// 5 the task ended without success.
#[derive(Debug, clap::Args)]
pub struct Send {
    /// What to say; `-` reads it from standard input
    #[arg(required = true, value_name = "TEXT")]
    text: Vec<String>,
    /// The session's number or key, or `new`; without it, the one that you are in
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// The workspace of a session that this starts
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceName>,
    /// Return as soon as the message is stored
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after this many seconds; the task goes on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// If a task runs: say it after that task instead of into it
    #[arg(long, conflicts_with = "interrupt")]
    queue: bool,
    /// If a task runs: stop it and start with this
    #[arg(long)]
    interrupt: bool,
    /// A value of your choice; a message with the same one is taken once only
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Do not show what happens on the way
    #[arg(long, short)]
    quiet: bool,
}

impl Send {
    /// Sends, and waits unless told otherwise.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let from_stdin = self.text == ["-"];
        let text = if from_stdin { read_text()? } else { self.text.join(" ") };
        let when_busy = match (self.queue, self.interrupt) {
            (true, _) => WhenBusy::Queue,
            (_, true) => WhenBusy::Interrupt,
            (false, false) => WhenBusy::Steer,
        };
        let (session, workspace, id) = (self.session.clone(), self.workspace.clone(), self.id.clone());
        let command = Command::Send { text, session, workspace, when_busy, id };
        runtime::ask(async {
            let client = context.client().await?;
            let reply = client.command(&command).await?;
            match reply {
                CommandReply::Said { ref text } | CommandReply::Done { ref text } => {
                    context.output.fact(&reply, |_| daemon::terminal::render(text))
                }
                CommandReply::CodeNeeded { .. }
                | CommandReply::Confirm { .. }
                | CommandReply::Job { .. }
                | CommandReply::Shell { .. } => super::tell(context.output, &reply),
                CommandReply::Accepted { inbox, session, .. } if self.no_wait => context
                    .output
                    .fact(&reply, |_| format!("message {inbox} is stored in session {session} and will be answered")),
                CommandReply::Accepted { inbox, session, since, duplicate } => {
                    // A message that was sent before may have its answer already.
                    let after = if duplicate { Seq(0) } else { since };
                    let watch = Watch::new(client.clone(), session, after);
                    let wait = Wait::new(context.output, client, watch, Follow::new(inbox));
                    let answer = wait.run(self.timeout, self.quiet, !from_stdin).await?;
                    answer.print(context.output)
                }
            }
        })
    }
}

fn read_text() -> Result<String, Failure> {
    let hint = "give a smaller one, or put it into a file of the workspace and name the file";
    let bytes = prompt::read_all(MAX_TEXT, "the message", hint)?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        user(format!("the message is not valid UTF-8 at byte {place}"), "convert it, for example with `iconv`")
    })
}
