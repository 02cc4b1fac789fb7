//! What the daemon says to a command, as every verb shows it.

use types::CommandReply;

use crate::{error::Stop, output::Output};

/// Prints the daemon's reply.
pub fn tell(output: Output, reply: &CommandReply) -> Result<(), Stop> {
    output.fact(reply, |reply| match reply {
        CommandReply::Said { text } | CommandReply::Done { text } => daemon::terminal::render(text),
        CommandReply::CodeNeeded { text } | CommandReply::Job { text, .. } | CommandReply::Shell { text, .. } => {
            daemon::terminal::neutral(text)
        }
        CommandReply::Confirm { rule, .. } => daemon::terminal::neutral(rule),
        CommandReply::Accepted { inbox, session, .. } => format!("message {inbox} is stored in session {session}"),
    })
}
