//! The command line: global options and the list of verbs. What a verb does stands in its own file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use daemon::client::Client;
use types::{Failure, FailureKind};

use crate::{error::Stop, keys, logging, logging::LogLevel, output::Output, verbs};

/// A personal agent that a person can leave running.
#[derive(Debug, Parser)]
#[command(name = "factotum", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Args {
    /// The home directory, with configuration, journal, audit log and secrets [default: ~/.factotum]
    #[arg(long, global = true, env = "FACTOTUM_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print facts and errors as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// How much to log on standard error
    #[arg(long, global = true, env = "FACTOTUM_LOG", value_name = "LEVEL", default_value = "warn")]
    log: LogLevel,
    #[command(flatten)]
    keys: keys::KeyOptions,
    #[command(subcommand)]
    verb: Verb,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Choose a model, a messenger and a workspace; asks when it is given no options
    Setup(Box<verbs::setup::Setup>),
    /// Run the agent in the foreground
    Up(verbs::up::Up),
    /// Say something to the agent and wait for its answer
    Send(verbs::send::Send),
    /// Talk to the agent in the terminal
    Chat(verbs::chat::Chat),
    /// List the conversations, or show one
    Sessions(verbs::sessions::Sessions),
    /// Open a terminal of your own in a sandbox, or show it again
    Shell(verbs::shell::Shell),
    /// Show the terminal of a job or of your shell
    Attach(verbs::attach::Attach),
    /// List the terminals, print what one shows, or close one
    Terminals(verbs::attach::Terminals),
    /// What runs in a terminal's window
    #[command(hide = true)]
    Pane(verbs::attach::Pane),
    /// List, choose and try models, and say what they have cost
    Model(verbs::model::Model),
    /// Let coding agents do long work
    Job(verbs::job::Job),
    /// Stop what runs: in one session, or everywhere
    Stop(verbs::stop::Stop),
    /// List what waits for your approval
    Approvals(verbs::approvals::Approvals),
    /// Let a call happen, once
    Approve(verbs::approvals::Approve),
    /// Forbid a call
    Deny(verbs::approvals::Deny),
    /// List the rules by which calls are not asked about, or take one back
    Allow(verbs::allow::Allow),
    /// Show what a session holds and where it has that from
    Why(verbs::why::Why),
    /// Begin a clean session with one result that you vouch for
    Endorse(verbs::why::Endorse),
    /// Decide about what tasks without you would keep
    Proposals(verbs::proposals::Proposals),
    /// Put a workspace back to before the last task that wrote to it
    Undo(verbs::undo::Undo),
    /// Keep keys and tokens; values are read from standard input only
    #[command(visible_alias = "secrets")]
    Secret(verbs::secret::Secret),
    /// Show or verify the audit log
    Log(verbs::log::Log),
    /// Check or explain the configuration
    Config(verbs::config::Config),
    /// Look for what is wrong, and say what to do
    Doctor(verbs::doctor::Doctor),
    /// Attempt the attacks that factotum promises to withstand, and look for what is unsafe
    Security(verbs::security::Security),
    /// Choose the directories that the agent may work in
    Workspace(verbs::workspace::Workspace),
    /// Install, list and try coding agents
    Coder(verbs::coder::Coder),
    /// Own the audit log as another user than the agent's
    #[command(hide = true)]
    AuditWriter(verbs::audit_writer::AuditWriter),
    /// Set up codes of an authenticator app as a second factor
    Totp(verbs::totp::Totp),
    /// Replace the credential of the API
    Api(verbs::api::Api),
    /// Print a completion script for a shell
    Completions(verbs::completions::Completions),
}

/// What every verb is given.
#[derive(Debug)]
pub struct Context {
    /// The home directory; it may be missing.
    pub home: PathBuf,
    /// Where facts go.
    pub output: Output,
}

impl Context {
    /// The daemon of this home.
    pub async fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.home).await
    }
}

impl Args {
    /// Does what was asked.
    pub fn run(self) -> Result<(), Stop> {
        logging::start(self.log);
        keys::install(self.keys);
        let context = Context { home: home(self.home)?, output: Output::new(self.json) };
        match self.verb {
            Verb::Setup(verb) => verb.run(&context),
            Verb::Up(verb) => verb.run(&context),
            Verb::Send(verb) => verb.run(&context),
            Verb::Chat(verb) => verb.run(&context),
            Verb::Sessions(verb) => verb.run(&context),
            Verb::Shell(verb) => verb.run(&context),
            Verb::Attach(verb) => verb.run(&context),
            Verb::Terminals(verb) => verb.run(&context),
            Verb::Pane(verb) => verb.run(&context),
            Verb::Model(verb) => verb.run(&context),
            Verb::Job(verb) => verb.run(&context),
            Verb::Stop(verb) => verb.run(&context),
            Verb::Approvals(verb) => verb.run(&context),
            Verb::Approve(verb) => verb.run(&context),
            Verb::Deny(verb) => verb.run(&context),
            Verb::Allow(verb) => verb.run(&context),
            Verb::Why(verb) => verb.run(&context),
            Verb::Endorse(verb) => verb.run(&context),
            Verb::Proposals(verb) => verb.run(&context),
            Verb::Undo(verb) => verb.run(&context),
            Verb::Secret(verb) => verb.run(&context),
            Verb::Log(verb) => verb.run(&context),
            Verb::Config(verb) => verb.run(&context),
            Verb::Doctor(verb) => verb.run(&context),
            Verb::Security(verb) => verb.run(&context),
            Verb::Workspace(verb) => verb.run(&context),
            Verb::Coder(verb) => verb.run(&context),
            Verb::AuditWriter(verb) => verb.run(&context),
            Verb::Totp(verb) => verb.run(&context),
            Verb::Api(verb) => verb.run(&context),
            Verb::Completions(verb) => verb.run(&context),
        }
    }
}

/// The home directory as an absolute path, so that a later change of directory cannot move it.
#[expect(clippy::disallowed_methods, reason = "the command line alone looks for the home directory")]
fn home(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = match given {
        Some(path) => path,
        None => std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".factotum")).ok_or_else(
            || Failure {
                kind: FailureKind::User,
                error: "the user's home directory is not known".to_owned(),
                hint: Some("name a directory with --home or FACTOTUM_HOME".to_owned()),
            },
        )?,
    };
    std::path::absolute(&path).map_err(|error| Failure {
        kind: FailureKind::User,
        error: format!("the home {} is not usable: {error}", path.display()),
        hint: Some("name a directory with --home".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// The whole reference, so that a change of the command line shows in review.
    #[test]
    fn the_reference_is_as_reviewed() {
        let mut reference = String::new();
        write(&mut Args::command(), "factotum", &mut reference);
        insta::assert_snapshot!(reference);
    }

    fn write(command: &mut clap::Command, name: &str, reference: &mut String) {
        // The environment of whoever runs this test must not show in the reference.
        let help = command.clone().hide_possible_values(false).mut_args(|arg| arg.hide_env_values(true)).render_help();
        reference.push_str(&format!("## {name}\n\n{help}\n"));
        let verbs: Vec<_> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        for verb in verbs {
            if let Some(command) = command.find_subcommand_mut(&verb) {
                write(command, &format!("{name} {verb}"), reference);
            }
        }
    }
}
