//! `factotum secret key`: where the vault's own key is.

use daemon::{KeySource, offline};
use serde::Serialize;

use crate::{
    args::Context,
    error::{Stop, user},
    input::Input,
    keys, prompt,
};

/// The longest recovery key.
const MAX_RECOVERY: u64 = 4096;

/// Shows or changes where the vault's own key is. A vault that is made by the first `secret set` takes the best place
/// that there is: a systemd credential, the kernel's keyring, a passphrase if one is given, else a key file.
#[derive(Debug, clap::Args)]
pub struct KeyVerb {
    /// Seal the vault with a new key in this place, and forget the old one
    #[arg(long = "use", value_name = "PLACE")]
    place: Option<Place>,
    /// Put a recovery key, read from standard input, back into the kernel's keyring
    #[arg(long, conflicts_with = "place")]
    restore: bool,
}

/// A place for the key.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Place {
    /// A file in the home that only you can read
    File,
    /// A passphrase, asked for at every start or read from --passphrase-file
    Passphrase,
    /// The kernel's keyring; it is empty after a restart of the machine, and the recovery key fills it again
    Keyring,
    /// The systemd credential `factotum-vault-key`
    Systemd,
}

/// Where the key is.
#[derive(Debug, Serialize)]
struct KeyIs {
    key: Option<KeySource>,
    /// Told once.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<String>,
}

impl KeyVerb {
    /// Shows, moves or restores.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let home = &context.home;
        let mut recovery = None;
        if self.restore {
            let text = if Input::is_terminal() {
                prompt::ask_secret("recovery key")?
            } else {
                prompt::read_all(MAX_RECOVERY, "the recovery key", "it has 64 hexadecimal digits")?
            };
            offline::secret_key_restore(home, &String::from_utf8_lossy(&text))?;
        }
        if let Some(place) = self.place {
            let (place, passphrase) = match place {
                Place::File => (KeySource::File, None),
                Place::Keyring => (KeySource::Keyring, None),
                Place::Systemd => (KeySource::Systemd, None),
                Place::Passphrase => (KeySource::Passphrase, keys::chosen_twice()?),
            };
            if offline::secret_list(home)?.key.is_none() {
                return Err(user("there is no vault yet", "store a secret first: factotum secret set NAME").into());
            }
            recovery = offline::secret_key_move(home, place, passphrase)?;
        }
        let fact = KeyIs { key: offline::secret_list(home)?.key, recovery };
        context.output.fact(&fact, |fact| {
            let place = fact.key.map_or_else(|| "there is no vault yet".to_owned(), |key| format!("the key is {key}"));
            match &fact.recovery {
                None => place,
                Some(recovery) => format!(
                    "{place}\nrecovery key, shown once: {recovery}\nkeep it off this machine; after a restart: factotum \
                     secret key --restore"
                ),
            }
        })
    }
}
