//! The real coding agents, as `cargo xtask setup` installs them.

use std::path::{Path, PathBuf};

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
