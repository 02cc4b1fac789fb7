//! The seam to a coding agent: how its program is started, and who speaks with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Dialect;

/// What a conversation with a coding agent starts from. It is kept in the records, so that the same [`Dialect`] can be made
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// The model, as the program names it; its own choice when none.
    pub model: Option<String>,
    /// The program's name for an earlier conversation, to go on with it.
    pub resume: Option<String>,
    /// Whether the resumed conversation is copied, so that the earlier one stays as it was.
    pub fork: bool,
    /// A random UUID, another one for each start, also of a resumed conversation: programs name conversations and messages by
    /// it, and drop what has a name that they know already.
    pub fresh: String,
    /// The environment variable that holds the vendor's placeholder, and the placeholder itself: some programs must be told
    /// beforehand which key is approved. It is never recorded, so a dialect cannot see it.
    #[serde(skip)]
    pub placeholder: Option<(String, String)>,
    /// The vendor's base URL, where the owner named another one.
    pub base_url: Option<String>,
    /// What the resumed conversation had used before, for programs that begin to count anew.
    pub spent: crate::Totals,
}

/// How lines reach the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over its standard input and output.
    Lines,
    /// Over HTTP/1.1 on a port of the sandbox's loopback, through the supervisor's bridge.
    Http {
        /// The port.
        port: u16,
    },
    /// It reads nothing: one program for each prompt.
    Silent,
}

/// A file that is written into the coding agent's home before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile {
    /// Relative to the home.
    pub path: String,
    /// Its content.
    pub content: String,
    /// Whether a file that is already there is left alone.
    pub keep: bool,
}

/// A program to start in the job's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its arguments, the program's name first; looked for in the coder's own directory and the usual ones.
    pub argv: Vec<String>,
    /// Its environment, beside the sandbox's own.
    pub env: BTreeMap<String, String>,
    /// What its home must hold.
    pub seed: Vec<SeedFile>,
    /// How it is spoken to.
    pub transport: Transport,
}

/// One kind of coding agent.
pub trait Coder: Send + Sync {
    /// Its name in the configuration, such as `claude`.
    fn name(&self) -> &'static str;

    /// How to ask the program for its version: arguments after the program's name.
    fn version(&self) -> &'static [&'static str] {
        &["--version"]
    }

    /// How to start it for work without a screen. `prompt` is given for programs that read nothing.
    fn launch(&self, start: &Start, prompt: Option<&str>) -> Launch;

    /// Who speaks with the program that [`Coder::launch`] started. It depends on nothing but `start` without its placeholder.
    fn dialect(&self, start: &Start) -> Box<dyn Dialect>;

    /// What lines of its output begin with that may be left out of the records when they grow too long: pieces of what comes
    /// again as a whole, and signs of life.
    fn fleeting(&self) -> &'static [&'static str] {
        &[]
    }

    /// How a person goes on with a conversation in a terminal.
    fn interactive(&self, start: &Start) -> Launch;
}
