//! Carrying the choices out.

use daemon::offline;
use serde::Serialize;

use super::{apparmor, choices::Plan, flags::Setup, wizard};
use crate::{
    args::Context,
    error::{Stop, user},
    input::Input,
    verbs::workspace::reload,
};

/// What setup did.
#[derive(Debug, Serialize)]
struct Done {
    /// Where the configuration stands.
    config: String,
    /// The keys that were set.
    set: Vec<String>,
    /// The secrets that were stored, by name.
    secrets: Vec<String>,
    /// What a person should know.
    notes: Vec<String>,
}

impl Setup {
    /// Asks or reads the options, then writes.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        if self.check {
            return check(context);
        }
        if self.apparmor {
            let said = apparmor::prepare()?.unwrap_or_else(|| "this kernel demands no AppArmor profile".to_owned());
            return context.output.fact(&said, String::clone);
        }
        let choices = if self.makes_choices() {
            self.choices()?
        } else if Input::is_terminal() {
            wizard::ask(&context.home)?
        } else {
            let hint = "give options (see `factotum setup --help`), or run it in a terminal";
            return Err(user("setup was given no options, and nobody is there to ask", hint).into());
        };
        if choices.is_empty() {
            return context.output.text("nothing was chosen; `factotum up` starts with the practice model");
        }
        let done = write(context, choices.plan()?)?;
        context.output.fact(&done, in_words)?;
        reload(context)
    }
}

/// All or nothing: it is checked as a whole before anything is changed.
fn write(context: &Context, plan: Plan) -> Result<Done, Stop> {
    daemon::Home::open(&context.home).map_err(|error| error.failure())?;
    let secrets: Vec<_> =
        plan.secrets.into_iter().filter_map(|secret| secret.value.map(|value| (secret.name, value))).collect();
    let names = secrets.iter().map(|(name, _)| name.to_string()).collect();
    let mut notes = offline::config_set(&context.home, &plan.values, secrets)?;
    notes.extend(apparmor::prepare()?);
    Ok(Done {
        config: offline::config_path(&context.home).display().to_string(),
        set: plan.values.into_iter().map(|(key, _)| key).collect(),
        secrets: names,
        notes,
    })
}

fn in_words(done: &Done) -> String {
    let mut lines = vec![format!("{} is written", done.config)];
    lines.extend(done.secrets.iter().map(|name| format!("secret {name} is set")));
    lines.extend(done.notes.iter().map(|note| format!("note: {note}")));
    lines.push("next: `factotum up`, and in another terminal `factotum chat`".to_owned());
    lines.join("\n")
}

/// What `--check` found.
#[derive(Debug, Serialize)]
struct Checked {
    ready: bool,
    notes: Vec<String>,
}

fn check(context: &Context) -> Result<(), Stop> {
    let mut notes = offline::config_check(&context.home)?;
    notes.extend(apparmor::prepare()?);
    let checked = Checked { ready: true, notes };
    context.output.fact(&checked, |checked| {
        let mut lines = vec!["the configuration is valid".to_owned()];
        lines.extend(checked.notes.iter().map(|note| format!("note: {note}")));
        lines.push("`factotum doctor` tries the sandbox as well".to_owned());
        lines.join("\n")
    })
}
