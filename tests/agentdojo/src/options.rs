//! What is to be run.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// How the suites are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Python of the environment in which AgentDojo is installed.
    pub python: PathBuf,
    /// The directory with `server.py` and `labels.toml`.
    pub directory: PathBuf,
    /// Only this suite.
    pub suite: Option<String>,
    /// Only about this many pairs, spread evenly, with half as many benign tasks.
    pub slice: Option<usize>,
    /// Only this user task.
    pub user: Option<u32>,
    /// Whether to run the rows of comparison as well: no defence, an attentive owner.
    pub compare: bool,
    /// The promises to break, by number; then some attack must succeed.
    pub broken: Option<String>,
    /// The result as JSON.
    pub json: bool,
    /// One line for each case.
    pub verbose: bool,
}

/// Reads the arguments.
pub fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        python: "python3".into(),
        directory: env!("CARGO_MANIFEST_DIR").into(),
        suite: None,
        slice: None,
        user: None,
        compare: false,
        broken: None,
        json: false,
        verbose: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--python" => options.python = value()?.into(),
            "--suite" => options.suite = Some(value()?.clone()),
            "--slice" => options.slice = Some(value()?.parse().context("`--slice` needs a number")?),
            "--user" => options.user = Some(value()?.parse().context("`--user` needs a number")?),
            "--compare" => options.compare = true,
            "--break" => options.broken = Some(value()?.clone()),
            "--json" => options.json = true,
            "--verbose" => options.verbose = true,
            _ => bail!(
                "unknown argument `{argument}`; there are --suite NAME, --slice NUMBER, --user NUMBER, --compare, \
                 --break NUMBERS, --json, --verbose"
            ),
        }
    }
    Ok(options)
}
