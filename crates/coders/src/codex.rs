//! Codex, spoken to through its app-server: how it is started and what its settings are. Owns the settings that make it ask
//! for everything and that keep a repository from widening them; the language itself is in [`dialect`].
//!
//! What a repository can reach, tried with 0.169: in a project marked `untrusted` nothing of `.codex` is loaded (settings, MCP
//! servers, hooks, command rules), nor is `AGENTS.md`, and every command and patch is asked for, reading ones included. Without
//! that mark, a thread that starts with full access makes Codex trust the project by itself and run the MCP servers that the
//! repository names. Skills are text for the model; their list is left out.

mod ask;
mod count;
mod dialect;
mod item;
mod remark;
mod requests;
mod shell;
#[cfg(test)]
mod tests;
mod trouble;

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{Coder, Dialect, Launch, SeedFile, Start, Transport};

/// OpenAI's Codex, by its app-server.
pub struct Codex;

/// Where the vendor answers.
const VENDOR: &str = "https://api.openai.com/v1";
/// The variable that holds its key, where the start names none.
const KEY: &str = "OPENAI_API_KEY";
/// The variable that names the account of a ChatGPT login. Where it is set, requests carry it in a header, as the vendor wants
/// it; the token itself comes in as any other key does, so that no file of a login lies in the sandbox.
pub const CHATGPT_ACCOUNT: &str = "CHATGPT_ACCOUNT_ID";

/// Settings that do not depend on the start. `approval_policy` cannot say here what a thread can be told, that it asks for
/// everything: the dialect says it. A terminal of a running command would take input that nobody was asked about. Searching
/// through the vendor would reach the network beside our proxy.
const SETTINGS: &str = r#"approval_policy = "on-request"
approvals_reviewer = "user"
sandbox_mode = "danger-full-access"
model_provider = "factotum"
check_for_update_on_startup = false
cli_auth_credentials_store = "file"
web_search = "disabled"
allow_login_shell = false
project_doc_max_bytes = 0
project_root_markers = []
"#;

const SECTIONS: &str = r#"
[projects."/workspace"]
trust_level = "untrusted"

[agents]
enabled = false

[features]
apps = false
goals = false
hooks = false
plugins = false
remote_plugin = false
shell_snapshot = false
skill_mcp_dependency_install = false
unified_exec_tty = false

[skills]
include_instructions = false

[skills.bundled]
enabled = false

[history]
persistence = "none"

[analytics]
enabled = false

[feedback]
enabled = false

[otel]
exporter = "none"
metrics_exporter = "none"

[notice]
hide_full_access_warning = true

[notice.model_migrations]
"gpt-5.5" = "gpt-6-sol"
"#;

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => write!(quoted, "\\u{:04X}", u32::from(c)).expect("a text can be written to"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The whole file of settings. It is written before each start, so that nothing of an earlier one is left.
fn settings(start: &Start) -> String {
    let key = start.placeholder.as_ref().map_or(KEY, |(name, _)| name.as_str());
    let base = start.base_url.as_deref().unwrap_or(VENDOR);
    let model = start.model.as_deref().map(|model| format!("model = {}\n", quoted(model))).unwrap_or_default();
    format!(
        "{SETTINGS}{model}\n[model_providers.factotum]\nname = \"factotum\"\nbase_url = {}\nenv_key = {}\n\
         env_http_headers = {{ \"ChatGPT-Account-ID\" = \"{CHATGPT_ACCOUNT}\" }}\nwire_api = \"responses\"\nsupports_websockets = false\nrequest_max_retries = 4\nstream_max_retries = 5\n{SECTIONS}",
        quoted(base),
        quoted(key),
    )
}

fn launch(argv: Vec<String>, start: &Start) -> Launch {
    let mut env = BTreeMap::from([("RUST_LOG".to_owned(), "off".to_owned())]);
    env.extend(start.placeholder.clone());
    let seed = vec![SeedFile { path: ".codex/config.toml".to_owned(), content: settings(start), keep: false }];
    Launch { argv, env, seed, transport: Transport::Lines }
}

impl Coder for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    /// Settings that this version does not know end it: one of them may be what keeps it closed.
    fn launch(&self, start: &Start, _: Option<&str>) -> Launch {
        let argv = ["codex", "app-server", "--strict-config", "--listen", "stdio://"];
        launch(argv.map(str::to_owned).to_vec(), start)
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        Box::new(dialect::AppServer::new(start))
    }

    /// In a terminal the person who sits there is asked, as far as Codex asks: the policy that asks for everything cannot be
    /// chosen there any more. One screen is left, which no setting hides: whether to open the untrusted folder restricted.
    fn interactive(&self, start: &Start) -> Launch {
        let mut argv = vec!["codex".to_owned()];
        if let Some(session) = &start.resume {
            let verb = if start.fork { "fork" } else { "resume" };
            argv.extend([verb.to_owned(), session.clone()]);
        }
        // A server in the background would outlive the terminal.
        argv.push("--no-daemon".to_owned());
        launch(argv, start)
    }
}
