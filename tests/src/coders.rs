//! The real coding agents, as `cargo xtask setup` installs them, and what a test must know of each.

use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::model::Reply;

/// A coding agent, the vendor that it speaks with, and how its model calls tools.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// Its name under `[coders]`.
    pub coder: &'static str,
    /// The vendor's host.
    pub host: &'static str,
    /// The variable in which the program looks for the key.
    pub variable: &'static str,
    /// The header that carries it, and what stands before it.
    pub header: (&'static str, &'static str),
    pub model: &'static str,
    /// More of its table in the configuration.
    pub settings: &'static str,
    /// What stands behind an address of the vendor's, before the paths of its interface.
    pub base: &'static str,
    /// The tool that runs a command, and the argument that holds it.
    shell: (&'static str, &'static str),
}

pub const CLAUDE: Vendor = Vendor {
    coder: "claude",
    host: "api.anthropic.com",
    variable: "ANTHROPIC_API_KEY",
    header: ("x-api-key", ""),
    model: "claude-sonnet-4-5",
    settings: "",
    base: "",
    shell: ("Bash", "command"),
};

pub const CODEX: Vendor = Vendor {
    coder: "codex",
    host: "api.openai.com",
    variable: "OPENAI_API_KEY",
    header: ("authorization", "Bearer "),
    model: "gpt-5.5",
    settings: "",
    base: "/v1",
    shell: ("exec_command", "cmd"),
};

pub const OPENCODE: Vendor = Vendor {
    coder: "opencode",
    host: "api.anthropic.com",
    variable: "ANTHROPIC_API_KEY",
    header: ("x-api-key", ""),
    model: "anthropic/claude-sonnet-4-5",
    settings: "vendor = \"anthropic\"\n",
    base: "/v1",
    shell: ("bash", "command"),
};

/// Claude Code with a subscription: the token that `claude setup-token` prints.
pub const CLAUDE_SUBSCRIPTION: Vendor = Vendor {
    variable: "CLAUDE_CODE_OAUTH_TOKEN",
    header: ("authorization", "Bearer "),
    settings: "auth = \"subscription\"\n",
    ..CLAUDE
};

/// Codex with a ChatGPT login: the access token of its `auth.json`.
pub const CODEX_LOGIN: Vendor = Vendor {
    host: "chatgpt.com",
    variable: "CHATGPT_ACCESS_TOKEN",
    settings: "auth = \"subscription\"\naccount = \"acct-0123\"\n",
    base: "/backend-api/codex",
    ..CODEX
};

impl Vendor {
    /// Its native program for this machine.
    pub fn program(&self) -> PathBuf {
        program(self.coder)
    }

    /// Its model has it run a command.
    pub fn runs(&self, script: &str) -> Reply {
        self.says_and_runs("", script)
    }

    /// The same after some words.
    pub fn says_and_runs(&self, words: &str, script: &str) -> Reply {
        let (tool, argument) = self.shell;
        let mut input = json!({ argument: script });
        match self.coder {
            // It would give a command that takes its time back to its model, and go on without it.
            "codex" => input["yield_time_ms"] = json!(30_000),
            _ => input["description"] = json!("a step"),
        }
        Reply::tools(words, [(tool, input)])
    }

    /// Its model has it put `new` where `old` stands in a line of a file of the tree, behind `before`.
    pub fn replaces(&self, file: &str, before: &str, old: &str, new: &str) -> Reply {
        let path = format!("/workspace/{file}");
        match self.coder {
            "claude" => Reply::call("Edit", json!({ "file_path": path, "old_string": old, "new_string": new })),
            "opencode" => Reply::call("edit", json!({ "filePath": path, "oldString": old, "newString": new })),
            _ => {
                let lines = format!("-{before}{old}\n+{before}{new}");
                let patch = format!("*** Begin Patch\n*** Update File: {file}\n@@\n{lines}\n*** End Patch\n");
                Reply::call("apply_patch", json!(patch))
            }
        }
    }

    /// Its model has it read a file of the tree.
    pub fn reads(&self, file: &str) -> Reply {
        let path = format!("/workspace/{file}");
        match self.coder {
            "claude" => Reply::call("Read", json!({ "file_path": path })),
            "opencode" => Reply::call("read", json!({ "filePath": path })),
            _ => self.runs(&format!("cat {file}")),
        }
    }
}

/// A small program that speaks as Claude Code does, for what needs hundreds of them.
pub fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stand_in/claude").canonicalize().unwrap()
}

/// The native program of `claude`, `codex` or `opencode` for this machine.
pub fn program(name: &str) -> PathBuf {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/coders/node_modules");
    let (cpu, triple) = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "aarch64-unknown-linux-musl"),
        _ => ("x64", "x86_64-unknown-linux-musl"),
    };
    let path = match name {
        "claude" => format!("@anthropic-ai/claude-code-linux-{cpu}/claude"),
        "codex" => format!("@openai/codex-linux-{cpu}/vendor/{triple}/bin/codex"),
        "opencode" => format!("opencode-linux-{cpu}/bin/opencode"),
        _ => panic!("no coding agent `{name}` is installed for the tests"),
    };
    let path = modules.join(path);
    // Sandboxes mount what a path means, not a link to it.
    let found = path.canonicalize();
    found.unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask setup` first", path.display()))
}
