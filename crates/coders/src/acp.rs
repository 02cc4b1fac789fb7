//! Any coding agent that speaks the Agent Client Protocol, version 1: JSON-RPC, a message to a line. Owns a client that is
//! lenient to what it does not know, and offers nothing: no files, no terminals, no MCP servers. Programs work with what
//! their sandbox has.
//!
//! What a repository brings with it (settings, hooks, MCP servers) is read or not as the program has it; its sandbox, the door
//! and its permissions stand around all of it.

mod agent;
mod dialect;
mod errors;
mod permissions;
mod spend;
mod tools;

use std::collections::BTreeMap;

use crate::{Coder, Dialect, Launch, Start, Transport};

/// A program that the owner's configuration names.
#[derive(Clone, Debug)]
pub struct Acp {
    command: Vec<String>,
}

impl Acp {
    /// The program and its arguments, such as `gemini --acp`.
    pub fn new(command: Vec<String>) -> Self {
        Self { command }
    }
}

impl Coder for Acp {
    fn name(&self) -> &'static str {
        "acp"
    }

    fn launch(&self, _start: &Start, _prompt: Option<&str>) -> Launch {
        let (env, seed) = (BTreeMap::new(), Vec::new());
        Launch { argv: self.command.clone(), env, seed, transport: Transport::Lines }
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        Box::new(dialect::Conversation::new(start))
    }

    /// The protocol knows no way for a person to go on with a conversation: the program is started as it starts by itself.
    fn interactive(&self, _start: &Start) -> Launch {
        let argv = self.command.first().cloned().into_iter().collect();
        Launch { argv, env: BTreeMap::new(), seed: Vec::new(), transport: Transport::Silent }
    }
}
