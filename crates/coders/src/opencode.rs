//! opencode, spoken to over the HTTP interface of `opencode serve`. Owns how it is started and what its home holds; who speaks
//! with it is in [`dialect`].
//!
//! What a repository can bring with it is switched off: its `opencode.json`, `.opencode` (agents, commands, plugins, tools,
//! skills), MCP servers, formatters, language servers, `AGENTS.md`, `CLAUDE.md` and foreign skills are not loaded; its model may
//! read them as files. Version 1.18 looks for plugins in the repository a second time, whatever it was told; [`GUARD`]
//! refuses to load their code. Of a repository's `opencode.json` only names and descriptions of `references` reach the
//! prompt.
//!
//! It listens on a port, so its sandbox must let it. Whatever it starts inherits its password; that gives nothing but
//! itself, because the sandbox stands around both and every wider answer is our gate's.

mod dialect;
mod errors;
mod events;
mod messages;
mod parts;
mod permissions;
mod requests;
mod spend;
mod turn;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Coder, Dialect, Launch, SeedFile, Start, Transport};

/// The port on the sandbox's own loopback.
const PORT: u16 = 4096;
/// Its own configuration, beneath its home: the global one, which it always reads.
const CONFIG: &str = ".config/opencode/opencode.json";
/// Where [`GUARD`] lies, beneath its home.
const GUARD_FILE: &str = ".config/opencode/own-code-only.js";
/// Loaded before anything else: code that is neither the program's own nor a package that it fetched is refused.
const GUARD: &str = r#"const home = (process.env.HOME ?? "") + "/.cache/opencode/";
Bun.plugin({
  name: "own code only",
  setup(build) {
    build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, ({ path }) => {
      if (path.startsWith(home)) return undefined;
      throw new Error("code of the repository is not loaded: " + path);
    });
  },
});
"#;

/// opencode.
#[derive(Debug)]
pub struct Opencode;

impl Coder for Opencode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn launch(&self, start: &Start, _prompt: Option<&str>) -> Launch {
        let port = PORT.to_string();
        let argv = ["opencode", "serve", "--hostname", "127.0.0.1", "--port", &port];
        let mut env = environment();
        env.insert("OPENCODE_SERVER_PASSWORD".to_owned(), start.fresh.clone());
        let transport = Transport::Http { port: PORT };
        Launch { argv: argv.map(str::to_owned).to_vec(), env, seed: seed(start), transport }
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        Box::new(dialect::Conversation::new(start))
    }

    fn interactive(&self, start: &Start) -> Launch {
        let mut argv = vec!["opencode".to_owned()];
        if let Some(session) = &start.resume {
            argv.extend(["--session".to_owned(), session.clone()]);
            argv.extend(start.fork.then(|| "--fork".to_owned()));
        }
        Launch { argv, env: environment(), seed: seed(start), transport: Transport::Silent }
    }
}

/// What it may do without asking. Its own configuration says so, and the environment again, which comes last.
fn permission() -> Value {
    // The last rule that fits counts; whatever has no rule of its own, such as a tool of an MCP server, asks.
    let allowed = ["read", "glob", "grep", "list", "todowrite", "question", "task", "skill"];
    let mut rules = serde_json::Map::from_iter([("*".to_owned(), json!("ask"))]);
    rules.extend(allowed.map(|tool| (tool.to_owned(), json!("allow"))));
    let asks = ["bash", "edit", "webfetch", "websearch", "external_directory", "doom_loop", "lsp"];
    rules.extend(asks.map(|tool| (tool.to_owned(), json!("ask"))));
    Value::Object(rules)
}

fn environment() -> BTreeMap<String, String> {
    let on = [
        "OPENCODE_DISABLE_AUTOUPDATE",
        "OPENCODE_DISABLE_CLAUDE_CODE",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS",
        "OPENCODE_DISABLE_EMBEDDED_WEB_UI",
        "OPENCODE_DISABLE_EXTERNAL_SKILLS",
        "OPENCODE_DISABLE_LSP_DOWNLOAD",
        "OPENCODE_DISABLE_MODELS_FETCH",
        "OPENCODE_DISABLE_PROJECT_CONFIG",
        "OPENCODE_DISABLE_SHARE",
        "OPENCODE_PURE",
    ];
    let mut env: BTreeMap<String, String> = on.map(|name| (name.to_owned(), "1".to_owned())).into();
    env.insert("OPENCODE_PERMISSION".to_owned(), permission().to_string());
    // The one preload that a program compiled with Bun takes from its environment.
    env.insert("BUN_INSPECT_PRELOAD".to_owned(), format!("{}/{GUARD_FILE}", sandbox::HOME));
    env
}

fn seed(start: &Start) -> Vec<SeedFile> {
    let file = |path: &str, content| SeedFile { path: path.to_owned(), content, keep: false };
    vec![file(CONFIG, format!("{:#}\n", config(start))), file(GUARD_FILE, GUARD.to_owned())]
}

fn config(start: &Start) -> Value {
    let mut config = json!({
        "autoupdate": false,
        "share": "disabled",
        "permission": permission(),
        "plugin": [],
        "mcp": {},
        "lsp": false,
        "formatter": false,
    });
    let Some((model, (provider, name))) = start.model.as_ref().zip(start.model.as_deref().and_then(split)) else {
        return config;
    };
    config["model"] = json!(model);
    // Its choice of a small model may be one of a vendor that nobody has a key for.
    config["small_model"] = json!(model);
    config["enabled_providers"] = json!([provider]);
    if let Some(url) = &start.base_url {
        let key = start.placeholder.as_ref().map(|(variable, _)| format!("{{env:{variable}}}"));
        let mut entry = json!({"options": {"baseURL": url, "apiKey": key}, "models": {name: {}}});
        if !VENDORS.contains(&provider) {
            entry["npm"] = json!("@ai-sdk/openai-compatible");
        }
        config["provider"] = json!({ provider: entry });
    }
    config
}

/// Vendors whose interface opencode knows by their name; any other speaks OpenAI Chat Completions.
const VENDORS: [&str; 8] = ["anthropic", "openai", "google", "openrouter", "mistral", "groq", "xai", "amazon-bedrock"];

/// `vendor/model`. A model may have more slashes, a vendor none.
fn split(model: &str) -> Option<(&str, &str)> {
    model.split_once('/').filter(|(provider, name)| !provider.is_empty() && !name.is_empty())
}
