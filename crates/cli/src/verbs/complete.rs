//! Commands that may need another step: the code of the second factor, or a look at the rule that would be saved. At a
//! terminal the person is asked; a program is told which option to give.

use daemon::client::Client;
use types::{Code, Command, CommandReply, Failure};

use crate::{args::Context, error::user, input::Input, prompt};

/// The most steps of one command: a rule and a code. A daemon that asks on and on is not obeyed.
const MOST_STEPS: usize = 3;

/// Sends a command, and again with what was missing.
pub async fn complete(context: &Context, client: &Client, mut command: Command) -> Result<CommandReply, Failure> {
    for _ in 0..MOST_STEPS {
        match client.command(&command).await? {
            CommandReply::CodeNeeded { text } => give_code(context, &mut command, &text)?,
            CommandReply::Confirm { rule, confirm } => look_at(context, &mut command, &rule, confirm)?,
            done @ (CommandReply::Accepted { .. }
            | CommandReply::Said { .. }
            | CommandReply::Done { .. }
            | CommandReply::Job { .. }
            | CommandReply::Shell { .. }) => {
                return Ok(done);
            }
        }
    }
    Err(user("the daemon goes on asking", "is another version of factotum running?"))
}

/// Asks for a code at the terminal.
pub fn ask_code() -> Result<Code, Failure> {
    prompt::ask("code of your authenticator app", None).map(Code::new)
}

fn give_code(context: &Context, command: &mut Command, why: &str) -> Result<(), Failure> {
    if context.output.is_json() || !Input::is_terminal() {
        return Err(user(daemon::terminal::neutral(why), "give it with --code"));
    }
    context.output.note(&daemon::terminal::neutral(why));
    let given = Some(ask_code()?);
    match command {
        Command::Answer { code, .. } | Command::Decide { code, .. } | Command::Reload { code } => *code = given,
        Command::SetUpTotp { present, .. } => *present = given,
        Command::Send { .. }
        | Command::Stop { .. }
        | Command::Endorse { .. }
        | Command::Undo { .. }
        | Command::StartJob { .. }
        | Command::StartRecipe { .. }
        | Command::SteerJob { .. }
        | Command::StopJob { .. }
        | Command::TakeOverJob { .. }
        | Command::HandBackJob { .. }
        | Command::ResumeJob { .. }
        | Command::OpenShell { .. }
        | Command::CloseShell { .. }
        | Command::RevokeAllowance { .. }
        | Command::RemoveTotp { .. }
        | Command::InstallCoder { .. }
        | Command::TestCoder { .. }
        | Command::UseModel { .. }
        | Command::TestModel { .. }
        | Command::RotateToken => return Err(user("this needs no code", "is another version of factotum running?")),
    }
    Ok(())
}

fn look_at(context: &Context, command: &mut Command, rule: &str, digest: String) -> Result<(), Failure> {
    let rule = daemon::terminal::neutral(rule);
    if context.output.is_json() || !Input::is_terminal() {
        let error = format!("nothing is saved yet; this rule would be:\n{rule}");
        return Err(user(error, format!("if that is what you want, repeat it with --confirm {digest}")));
    }
    context.output.note(&format!("This rule would be saved:\n{rule}"));
    if !prompt::confirm("save it", false)? {
        return Err(user("nothing was saved, and the request is still open", "approve it once, or deny it"));
    }
    if let Command::Answer { confirm, .. } = command {
        *confirm = Some(digest);
    }
    Ok(())
}
