//! What the surroundings offer towards the vault's key: systemd's directory of credentials, a file or descriptor with the
//! passphrase, or a person at the terminal. A passphrase never stands in the environment or on a command line.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use daemon::{KeySources, Passphrase};
use types::Failure;

use crate::{error::user, input::Input, prompt};

/// The longest passphrase in bytes.
const MAX_PASSPHRASE: u64 = 4096;

/// Options of every verb.
#[derive(Debug, clap::Args)]
pub struct KeyOptions {
    /// A file with the vault's passphrase; `/dev/fd/3` reads an open descriptor
    #[arg(long, global = true, env = "FACTOTUM_PASSPHRASE_FILE", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where systemd puts the service's credentials
    #[arg(long, global = true, env = "CREDENTIALS_DIRECTORY", hide = true, value_name = "DIR")]
    credentials: Option<PathBuf>,
}

/// Makes these the sources of every vault that this process opens.
pub fn install(options: KeyOptions) {
    let prefer_passphrase = options.passphrase_file.is_some();
    let file = options.passphrase_file;
    let ask = move || match &file {
        Some(path) => read(path),
        None if Input::is_terminal() => typed("passphrase of the vault").map_err(|failure| failure.error),
        None => Err("the vault is locked with a passphrase; name a file that holds it with --passphrase-file or \
                     FACTOTUM_PASSPHRASE_FILE, or start from a terminal"
            .to_owned()),
    };
    KeySources { credentials: options.credentials, passphrase: Some(Arc::new(ask)), prefer_passphrase }.install();
}

/// A new passphrase, typed twice; none where nobody can type, so that the file is read.
pub fn chosen_twice() -> Result<Option<Passphrase>, Failure> {
    if !Input::is_terminal() {
        return Ok(None);
    }
    let (first, second) = (prompt::ask_secret("new passphrase")?, prompt::ask_secret("the same again")?);
    if first != second {
        return Err(user("the two passphrases differ", "nothing was changed; try again"));
    }
    text(first).map(Some)
}

fn typed(question: &str) -> Result<Passphrase, Failure> {
    text(prompt::ask_secret(question)?)
}

fn text(bytes: Vec<u8>) -> Result<Passphrase, Failure> {
    String::from_utf8(bytes)
        .map(Passphrase::new)
        .map_err(|_| user("the passphrase is not valid UTF-8", "type it on a terminal that speaks UTF-8"))
}

/// Reads a passphrase from a file that nobody else may read, or from a pipe.
fn read(path: &Path) -> Result<Passphrase, String> {
    let failed = |error: std::io::Error| format!("the passphrase cannot be read from {}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        return Err(format!("{0} can be read by other users; run `chmod 600 {0}`", path.display()));
    }
    let mut text = String::new();
    file.take(MAX_PASSPHRASE).read_to_string(&mut text).map_err(failed)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Passphrase::new(line.to_owned()))
}
