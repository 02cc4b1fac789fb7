//! `factotum secret`: keys and tokens. A value never stands on a command line, where every user of the machine could
//! read it.

use daemon::offline;
use serde::Serialize;
use types::SecretName;

use crate::{args::Context, error::Stop, error::user, input::Input, prompt};

/// The most bytes of a secret.
const MAX_SECRET: u64 = 64 << 10;

/// Keeps keys and tokens in the home's vault. A running daemon sees a change at once.
#[derive(Debug, clap::Args)]
pub struct Secret {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Store a secret that is read from standard input, or asked for at a terminal
    Set {
        /// Its name, as config.toml has it
        name: SecretName,
    },
    /// List the names; values are never shown
    List,
    /// Remove a secret
    Rm {
        /// Its name
        name: SecretName,
    },
}

/// What was done to which secret.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    name: &'a SecretName,
    state: &'static str,
}

impl Secret {
    /// Stores, lists or removes.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            What::Set { name } => {
                let value = read(&name)?;
                daemon::Home::open(&context.home).map_err(|error| error.failure())?;
                offline::secret_set(&context.home, &name, value)?;
                context.output.fact(&Changed { name: &name, state: "set" }, |_| format!("secret {name} is set"))
            }
            What::List => {
                let names = offline::secret_list(&context.home)?;
                context.output.fact(&names, |names| match names.as_slice() {
                    [] => "there are no secrets".to_owned(),
                    names => names.iter().map(SecretName::as_str).collect::<Vec<_>>().join("\n"),
                })
            }
            What::Rm { name } => {
                if !offline::secret_remove(&context.home, &name)? {
                    return Err(
                        user(format!("there is no secret `{name}`"), "`factotum secret list` names them").into()
                    );
                }
                context.output.fact(&Changed { name: &name, state: "removed" }, |_| format!("secret {name} is removed"))
            }
        }
    }
}

fn read(name: &SecretName) -> Result<Vec<u8>, Stop> {
    let value = if Input::is_terminal() {
        prompt::ask_secret(&format!("value of {name}"))?
    } else {
        prompt::read_all(MAX_SECRET, "the secret", "is this the right file? keys and tokens are short")?
    };
    if value.iter().all(u8::is_ascii_whitespace) {
        return Err(user("the secret is empty", format!("pipe its value into `factotum secret set {name}`")).into());
    }
    Ok(value)
}
