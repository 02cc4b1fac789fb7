//! Every mistake names its line and what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use super::{Config, EXAMPLE, ModelName};

/// The error's text and hint, as a person sees them.
fn mistake(text: &str) -> String {
    let error = Config::parse(text, Path::new("config.toml")).unwrap_err();
    format!("error: {error}\nhint: {}", error.hint)
}

#[test]
fn the_example_is_valid_and_so_is_nothing() {
    let config = Config::parse(EXAMPLE, Path::new("config.toml")).unwrap();
    assert_eq!(config.model(), Some(ModelName { provider: "lab", model: "model-1" }));
    let empty = Config::parse("", Path::new("config.toml")).unwrap();
    assert_eq!(empty.model(), None);
    assert!(empty.api.listen.ip().is_loopback());
}

#[test]
fn the_example_shows_every_table() {
    let schema = Config::schema();
    let tables = schema["properties"].as_object().unwrap();
    for table in tables.keys() {
        assert!(EXAMPLE.contains(&format!("[{table}")), "{table}");
    }
}

#[test]
fn mistakes() {
    let provider = "[providers.lab]\napi = \"anthropic\"\nbase_url = \"http://127.0.0.1:1\"\n";
    let cases = [
        ("a misspelt key", "[agent]\nmodle = \"lab/m\"\n".to_owned()),
        ("a misspelt table", "[agent]\n\n[budgets]\nsteps = 1\n".to_owned()),
        ("a wrong type", "[budget]\nsteps = \"many\"\n".to_owned()),
        ("no TOML", "[agent\nmodel = 1\n".to_owned()),
        ("an unknown interface", "[providers.lab]\napi = \"antropic\"\nbase_url = \"x\"\n".to_owned()),
        ("a missing key", "[workspaces.billing]\n".to_owned()),
        ("a secret in the file", format!("{provider}key = \"sk-ABC123SECRET\"\n")),
        ("a secret under a wrong key", format!("{provider}api_key = \"sk-ABC123SECRET\"\n")),
        ("a secret in one line", "providers.lab = { api = 5, key = \"sk-ABC123SECRET\" }\n".to_owned()),
        ("a provider without a model", provider.to_owned()),
        ("a model without a provider", format!("[agent]\nmodel = \"other/m\"\n{provider}")),
        ("a model without a slash", format!("[agent]\nmodel = \"m\"\n{provider}")),
        ("a relative workspace", "[workspaces.billing]\npath = \"code\"\n".to_owned()),
        ("a bad workspace name", "[workspaces.Billing]\npath = \"/srv\"\n".to_owned()),
        ("an unknown workspace", "[agent]\nworkspace = \"x\"\n".to_owned()),
        (
            "a rule without sense",
            "[workspaces.a]\npath = \"/srv/a\"\n[[workspaces.a.egress.rules]]\nhost = \"*.com\"\n".to_owned(),
        ),
        ("an unknown preset", "[workspaces.a]\npath = \"/srv/a\"\negress.presets = [\"rest\"]\n".to_owned()),
        ("no prefix", "[network]\nnat64_prefixes = [\"10.0.0.0/8\"]\n".to_owned()),
        ("no host", "[web]\nhosts = [\"https://example.com\"]\n".to_owned()),
        ("an open API", "[api]\nlisten = \"0.0.0.0:7717\"\n".to_owned()),
        ("nobody allowed", "[channels.telegram.home]\ntoken = \"t\"\nallow = []\n".to_owned()),
        (
            "a negative price",
            "[agent]\nmodel = \"a/m\"\n[providers.a]\napi = \"anthropic\"\nbase_url = \"http://127.0.0.1:9\"\n\
             prices = { \"m\" = { input = -3.0, output = 15.0 } }\n"
                .to_owned(),
        ),
        ("negative money", "[budget]\ntask_usd = -1.0\n".to_owned()),
        ("no steps", "[budget]\nsteps = 0\n".to_owned()),
        ("an unknown coder", "[coders.pilot]\n".to_owned()),
        ("a coder without a command", "[coders.gemini]\nkind = \"acp\"\n".to_owned()),
        ("a coder at home", "[coders.claude]\nbase_url = \"http://127.0.0.1:8000\"\n".to_owned()),
        ("a coder of no vendor", "[coders.claude]\nvendor = \"rust\"\n".to_owned()),
        ("a subscription for none", "[coders.opencode]\nauth = \"subscription\"\n".to_owned()),
        ("a login without its account", "[coders.codex]\nauth = \"subscription\"\n".to_owned()),
        ("an account of nothing", "[coders.claude]\naccount = \"acct-1\"\n".to_owned()),
        ("a key for nobody", "[coders.opencode]\nsecret = \"k\"\n".to_owned()),
        ("a tool rule", "[tools]\nexec = \"never\"\n".to_owned()),
    ];
    let all: Vec<String> = cases.iter().map(|(what, text)| format!("--- {what}\n{}", mistake(text))).collect();
    let all = all.join("\n");
    assert!(!all.contains("ABC123SECRET"), "a pasted secret must not be echoed");
    insta::assert_snapshot!(all);
}

#[test]
fn an_unreadable_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, b"[agent]\nmodel = \"\xff\"\n").unwrap();
    assert!(Config::load(&path).unwrap_err().message.contains("line 2 is not valid UTF-8"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(Config::load(&path).unwrap_err().message.contains("mebibyte"));
    assert!(Config::load(&directory.path().join("none")).is_ok());
}

#[test]
fn the_agents_own_api_is_neither_vendor_nor_messenger() {
    let api = "[api]\nlisten = \"127.0.0.1:7717\"\n";
    for part in [
        "[agent]\nmodel = \"a/m\"\n[providers.a]\napi = \"anthropic\"\nbase_url = \"http://localhost:7717\"\n",
        "[audit.ship.a]\nkind = \"https\"\nurl = \"http://127.0.0.1:7717/ingest\"\n",
    ] {
        let mistake = mistake(&format!("{api}{part}"));
        assert!(mistake.contains("the agent's own API"), "{mistake}");
    }
}
