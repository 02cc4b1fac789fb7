//! Verbs that need no daemon, and verbs that miss it.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::program::Program;

const KEY: &str = "sk-test-0123456789abcdef";

#[test]
fn version_and_help_need_no_home() {
    let program = Program::new();
    let version = program.run(&["--version"], b"");
    assert_eq!(version.stdout, format!("factotum {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(program.run(&["help"], b"").code, Some(0));
    assert!(!program.home().exists(), "looking made a home");
}

#[test]
fn an_unknown_verb_is_the_users_mistake() {
    let program = Program::new();
    assert_eq!(program.run(&["fly"], b"").code, Some(2));
    assert_eq!(program.run(&["approve", "x"], b"").code, Some(2));
    assert_eq!(program.run(&["secret", "set", "Not A Name"], b"x").code, Some(2));
}

#[test]
fn a_mistake_in_the_call_is_json_where_json_was_asked_for() {
    let program = Program::new();
    for (arguments, part) in [
        (&["fly"][..], "fly"),
        (&["approve", "x"], "'x'"),
        (&["send"], "<TEXT>"),
        (&["sessions", "--jsn"], "--jsn"),
        (&["setup", "--provider", "lab"], "--model"),
        (&["secret", "set", "Not A Name"], "Not A Name"),
        (&["secret"], "subcommand"),
        (&[], "subcommand"),
    ] {
        let (code, failure) = program.failure(arguments, b"");
        assert_eq!((code, failure["kind"].as_str()), (Some(2), Some("user")), "{arguments:?}: {failure}");
        let error = failure["error"].as_str().unwrap();
        assert!(error.contains(part) && !error.contains("Usage") && !error.contains('\n'), "{failure}");
        assert!(failure["hint"].is_string(), "{failure}");
    }
    let before = program.run(&["--json", "secret"], b"");
    assert!(before.stderr.starts_with('{') && before.stderr.contains("\"user\""), "{before:?}");
    let words = program.run(&["fly", "--", "--json"], b"");
    assert!(words.stderr.starts_with("error: "), "{words:?}");
    let help = program.run(&["send", "--help", "--json"], b"");
    assert!(help.code == Some(0) && help.stdout.contains("Usage"), "{help:?}");
}

#[test]
fn without_a_daemon_a_verb_says_how_to_start_one() {
    let program = Program::new();
    for verb in [&["send", "hi"][..], &["sessions"], &["stop"], &["approvals"], &["deny", "1"], &["undo"], &["chat"]] {
        let (code, failure) = program.failure(verb, b"");
        assert_eq!(code, Some(4), "{verb:?}: {failure}");
        assert_eq!(failure["kind"], "network", "{verb:?}");
        assert!(failure["hint"].as_str().unwrap().contains("factotum up"), "{verb:?}: {failure}");
    }
}

#[test]
fn secrets_are_kept_by_name_and_never_shown() {
    let program = Program::new();
    assert_eq!(program.facts(&["secret", "set", "lab-key"], KEY.as_bytes())["state"], "set");
    let listed = program.facts(&["secret", "list"], b"");
    assert_eq!((&listed["key"], &listed["secrets"][0]["name"]), (&json!("file"), &json!("lab-key")));
    for entry in std::fs::read_dir(program.home()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "{} holds it", path.display());
    }
    let mode = std::fs::metadata(program.home()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the home is closed to others");
    assert_eq!(program.facts(&["secret", "rm", "lab-key"], b"")["state"], "removed");
    assert_eq!(program.failure(&["secret", "rm", "lab-key"], b"").0, Some(2));
    let (code, failure) = program.failure(&["secret", "set", "lab-key"], b"\n");
    assert_eq!((code, failure["error"].as_str()), (Some(2), Some("the secret is empty")));
}

#[test]
fn secrets_know_where_they_may_go_and_when_they_are_dead() {
    let program = Program::new();
    let bind = ["secret", "set", "git", "--github", "octo/cat:rw", "--env", "GITHUB_TOKEN"];
    assert_eq!(program.facts(&bind, KEY.as_bytes())["state"], "set");
    let wrong = program.failure(&["secret", "set", "x", "--bind", "*"], b"value");
    assert_eq!(wrong.0, Some(2), "{wrong:?}");
    let secret = |program: &Program| program.facts(&["secret", "list"], b"")["secrets"][0].clone();
    let bindings = secret(&program)["bindings"].to_string();
    assert!(bindings.contains("api.github.com/repos/octo/cat/**"), "{bindings}");
    assert_eq!(program.facts(&["secrets", "dead", "git", "--why", "it was in a mail"], b"")["state"], "dead");
    let words = program.run(&["secret", "list"], b"");
    assert!(words.stdout.contains("DEAD: it was in a mail") && !words.stdout.contains(KEY), "{words:?}");
    assert_eq!(program.failure(&["secret", "rotate", "git"], KEY.as_bytes()).0, Some(2), "the leaked value again");
    assert_eq!(program.facts(&["secret", "rotate", "git"], b"another-0123456789")["state"], "rotated");
    let secret = secret(&program);
    assert!(secret["dead"].is_null() && secret["rotated"].is_number() && secret["env"] == "GITHUB_TOKEN", "{secret}");
}

#[test]
fn a_scan_tells_where_and_exits_with_five() {
    let program = Program::new();
    program.facts(&["secret", "set", "mail"], b"canary-5f0c2e9a71d4");
    let clean = program.facts(&["secrets", "scan"], b"");
    assert_eq!(clean["findings"], json!([]));
    let work = program.home().join("workspaces/main");
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(work.join("notes.txt"), "pass canary-5f0c2e9a71d4\n").unwrap();
    let found = program.run(&["secrets", "scan", "--workspace", "main"], b"");
    assert_eq!(found.code, Some(5), "{found:?}");
    assert!(found.stdout.contains("notes.txt:1") && found.stdout.contains("dead"), "{found:?}");
    assert!(!found.stdout.contains("canary"), "{found:?}");
    assert_eq!(program.run(&["secrets", "scan", "--fix"], b"").code, Some(5));
    assert_eq!(std::fs::read_to_string(work.join("notes.txt")).unwrap(), "pass [secret mail]\n");
    assert_eq!(program.run(&["secrets", "scan"], b"").code, Some(0));
}

#[test]
fn the_vault_s_key_can_be_a_passphrase_from_a_file() {
    let program = Program::new();
    program.facts(&["secret", "set", "mail"], KEY.as_bytes());
    assert_eq!(program.facts(&["secret", "key"], b"")["key"], "file");
    let file = program.beside("keys").join("passphrase");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    let path = file.to_str().unwrap();
    let open = program.failure(&["secret", "key", "--use", "passphrase", "--passphrase-file", path], b"");
    assert!(open.1["error"].as_str().unwrap().contains("chmod 600"), "{open:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let moved = program.facts(&["secret", "key", "--use", "passphrase", "--passphrase-file", path], b"");
    assert_eq!(moved["key"], "passphrase");
    assert!(!program.home().join("vault.key").exists());
    let (code, failure) = program.failure(&["secret", "list"], b"");
    assert_eq!(code, Some(3), "{failure}");
    assert!(failure["error"].as_str().unwrap().contains("FACTOTUM_PASSPHRASE_FILE"), "{failure}");
    let listed = program.facts(&["secret", "list", "--passphrase-file", path], b"");
    assert_eq!(listed["secrets"][0]["name"], "mail");
}

#[test]
fn setup_by_options_makes_a_configuration_that_holds() {
    let program = Program::new();
    let workspace = program.beside("billing");
    let done = program.facts(
        &[
            "setup",
            "--provider",
            "lab",
            "--api",
            "openai-chat",
            "--base-url",
            "http://127.0.0.1:9",
            "--model",
            "m-4.1",
            "--prices",
            "3,15",
            "--key-stdin",
            "--telegram-token-stdin",
            "--telegram-allow",
            "123456789,5",
            "--workspace",
            &format!("billing={}", workspace.display()),
        ],
        format!("{KEY}\n110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0\n").as_bytes(),
    );
    assert_eq!(done["secrets"], json!(["lab-key", "telegram-token"]));
    let path = program.home().join("config.toml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(KEY), "the key stands in the configuration");
    assert_eq!(program.facts(&["config", "check"], b"")["valid"], true);
    assert_eq!(program.facts(&["setup", "--check"], b"")["ready"], true);
    let workspaces = program.facts(&["workspace", "list"], b"");
    assert_eq!(workspaces, json!([{ "name": "billing", "path": workspace }]));
}

#[test]
fn setup_refuses_what_it_cannot_use_and_writes_nothing() {
    let program = Program::new();
    let (code, failure) = program.failure(&["setup"], b"");
    assert_eq!(code, Some(2), "{failure}");
    std::fs::create_dir_all(program.home()).unwrap();
    std::fs::write(program.home().join("config.toml"), "# mine\n").unwrap();
    for (address, workspace) in [
        ("ftp://nowhere", None),
        ("http://ann:hunter2@127.0.0.1:9", None),
        ("http://127.0.0.1:9", Some("w=/nowhere/at/all")),
        ("http://127.0.0.1:9", Some("w=/etc")),
    ] {
        let mut call = vec!["setup", "--provider", "lab", "--base-url", address, "--model", "m", "--key-stdin"];
        call.extend(workspace.iter().flat_map(|workspace| ["--workspace", workspace]));
        let ended = program.run(&call, KEY.as_bytes());
        assert!(ended.code.is_some_and(|code| code != 0) && !ended.stderr.contains("hunter2"), "{ended:?}");
        assert_eq!(std::fs::read_to_string(program.home().join("config.toml")).unwrap(), "# mine\n", "{ended:?}");
    }
    let listed = program.run(&["secret", "list"], b"");
    assert!(!listed.stdout.contains("lab-key"), "a secret was stored for a refused configuration: {listed:?}");
    let empty = ["setup", "--provider", "lab", "--base-url", "http://127.0.0.1:9", "--model", "m", "--key-stdin"];
    assert_eq!(program.run(&empty, b"").code, Some(2));
    assert_eq!(std::fs::read_to_string(program.home().join("config.toml")).unwrap(), "# mine\n");
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_line() {
    let program = Program::new();
    std::fs::create_dir_all(program.home()).unwrap();
    std::fs::write(program.home().join("config.toml"), "[agent]\nmodle = \"lab/m\"\n").unwrap();
    let ended = program.run(&["config", "check"], b"");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(ended.stderr.contains("line 2") && ended.stderr.contains("modle"), "{ended:?}");
    assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
}

#[test]
fn workspaces_come_and_go_and_the_file_keeps_its_comments() {
    let program = Program::new();
    let path = program.beside("work");
    std::fs::create_dir_all(program.home()).unwrap();
    std::fs::write(program.home().join("config.toml"), "# mine\n[budget]\nsteps = 7 # few\n").unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(program.run(&["workspace", "add", "work", path], b"").code, Some(0));
    let text = std::fs::read_to_string(program.home().join("config.toml")).unwrap();
    assert!(text.contains("# mine") && text.contains("# few") && text.contains("[workspaces.work]"), "{text}");
    assert_ne!(program.run(&["workspace", "add", "gone", "/nowhere/at/all"], b"").code, Some(0));
    assert_eq!(program.run(&["workspace", "rm", "work"], b"").code, Some(0));
    assert_eq!(program.failure(&["workspace", "rm", "work"], b"").0, Some(2));
}

#[test]
fn the_configuration_explains_itself() {
    let program = Program::new();
    let schema = program.facts(&["config", "schema"], b"");
    assert!(schema["properties"]["agent"].is_object(), "{schema}");
    let path = program.facts(&["config", "path"], b"");
    assert_eq!(path, json!(program.home().join("config.toml")));
    let example = program.run(&["config", "example"], b"").stdout;
    assert!(example.contains("[workspaces."), "{example}");
}

#[test]
fn a_message_that_cannot_be_sent_is_refused_before_a_daemon_is_sought() {
    let program = Program::new();
    let (code, failure) = program.failure(&["send", "-"], b"caf\xe9");
    assert_eq!(code, Some(2));
    assert!(failure["error"].as_str().unwrap().contains("UTF-8 at byte 3"), "{failure}");
    let (code, failure) = program.failure(&["send", "-"], &vec![b'x'; 70_000]);
    assert_eq!(code, Some(2));
    assert!(failure["error"].as_str().unwrap().contains("64 KiB"), "{failure}");
}

#[test]
fn completions_name_the_verbs() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = program.run(&["completions", shell], b"").stdout;
        assert!(script.contains("approvals") && script.contains("workspace"), "{shell}: {script}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    use std::process::{Command, Stdio};
    let program = Program::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_factotum"))
        .args(["completions", "zsh"])
        .env("FACTOTUM_HOME", program.home())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
