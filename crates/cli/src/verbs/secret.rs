//! `factotum secret`: keys and tokens. A value never stands on a command line, where every user of the machine could
//! read it.

mod key;
mod scan;

use daemon::offline::{self, BindOptions, SecretView, SecretsView};
use serde::Serialize;
use types::SecretName;

use crate::{
    args::Context,
    error::{Stop, user},
    input::Input,
    prompt,
    show::{table, time},
};

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
        #[command(flatten)]
        bind: Places,
    },
    /// Change where a secret may go, and leave its value
    Bind {
        /// Its name
        name: SecretName,
        #[command(flatten)]
        bind: Places,
    },
    /// List the secrets and where they may go; values are never shown
    List,
    /// Put a new value in the place of a secret's, from standard input or a terminal
    Rotate {
        /// Its name
        name: SecretName,
    },
    /// Refuse a secret from here on, because others may know it
    Dead {
        /// Its name
        name: SecretName,
        /// What happened; shown wherever the secret is refused
        #[arg(long)]
        why: String,
    },
    /// Remove a secret
    Rm {
        /// Its name
        name: SecretName,
    },
    /// Show or change where the vault's own key is
    Key(key::KeyVerb),
    /// Look for secrets in workspaces, the journal and logs; exits with 5 when some are found
    Scan(scan::ScanVerb),
}

/// Where a secret may go. Sandboxes hold a placeholder; the value is put in on the way out, into this header alone.
#[derive(Clone, Debug, Default, clap::Args)]
struct Places {
    /// A host that may get it: `api.example.com`, `*.example.com` (one label) or with `:PORT`
    #[arg(long = "bind", value_name = "HOST[:PORT]")]
    hosts: Vec<String>,
    /// Only with this method
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// Only to paths like this: `/v1/messages`, `/v1/**`, `/repos/*/issues`
    #[arg(long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// The header that takes it, with what stands before it [default: 'Authorization: Bearer']
    #[arg(long, value_name = "NAME: PREFIX")]
    header: Option<String>,
    /// As the password of `Authorization: Basic`, for this user; `*` for any
    #[arg(long, value_name = "USER")]
    basic: Option<String>,
    /// A GitHub token for this repository alone: Git over HTTPS and its part of the API; `:rw` allows changes
    #[arg(long, value_name = "OWNER/REPO[:rw]")]
    github: Vec<String>,
    /// The variable that shows the placeholder to programs, such as GITHUB_TOKEN
    #[arg(long, value_name = "VAR")]
    env: Option<String>,
}

impl From<Places> for BindOptions {
    fn from(places: Places) -> Self {
        let Places { hosts, methods, paths, header, basic, github, env } = places;
        Self { hosts, methods, paths, header, basic, github, env }
    }
}

/// What was done to which secret.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    name: &'a SecretName,
    state: &'static str,
}

impl Secret {
    /// Does what was asked.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let home = &context.home;
        let changed = |name: &SecretName, state: &'static str| {
            context.output.fact(&Changed { name, state }, |changed| format!("secret {name} is {}", changed.state))
        };
        match self.what {
            What::Set { name, bind } => {
                let value = read(&name)?;
                daemon::Home::open(home).map_err(|error| error.failure())?;
                offline::secret_put(home, &name, value, &bind.into())?;
                changed(&name, "set")
            }
            What::Bind { name, bind } => {
                offline::secret_bind(home, &name, &bind.into())?;
                changed(&name, "bound")
            }
            What::List => context.output.fact(&offline::secret_list(home)?, words),
            What::Rotate { name } => {
                offline::secret_rotate(home, &name, read(&name)?)?;
                changed(&name, "rotated")
            }
            What::Dead { name, why } => {
                offline::secret_dead(home, &name, &why)?;
                changed(&name, "dead")
            }
            What::Rm { name } => {
                if !offline::secret_remove(home, &name)? {
                    return Err(
                        user(format!("there is no secret `{name}`"), "`factotum secret list` names them").into()
                    );
                }
                changed(&name, "removed")
            }
            What::Key(verb) => verb.run(context),
            What::Scan(verb) => verb.run(context),
        }
    }
}

fn words(view: &SecretsView) -> String {
    let Some(key) = view.key.filter(|_| !view.secrets.is_empty()) else { return "there are no secrets".to_owned() };
    let row = |secret: &SecretView| {
        let bindings =
            if secret.bindings.is_empty() { "factotum itself".to_owned() } else { secret.bindings.join("; ") };
        let set = secret.rotated.or(secret.created).map_or_else(|| "unknown".to_owned(), time);
        let state = secret.dead.as_ref().map_or_else(String::new, |dead| format!("DEAD: {}", dead.why));
        [secret.name.to_string(), set, secret.env.clone().unwrap_or_default(), bindings, state]
    };
    let rows: Vec<_> = view.secrets.iter().map(row).collect();
    format!("{}\nthe key of the vault: {key}", table(["NAME", "SET", "SHOWN AS", "FOR", ""], &rows))
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
