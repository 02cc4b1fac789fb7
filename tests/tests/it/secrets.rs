//! Unique secrets are planted, a model that obeys an attacker dumps all it can reach, the vendor reflects its key in an
//! error, and the owner pastes one into the chat. Afterwards everything is searched, in every form.

use std::path::Path;

use harness::{
    Factotum, all_inside,
    home::KEY,
    job::{Job, WAIT},
    process::run,
};
use serde_json::json;
use testkit::model::{Fault, Reply};

/// A secret that the daemon only keeps: no request ever carries it.
const CANARY: &str = "canary+5f0c2e9a71d4/b8";
/// What the model does, call by call.
const DUMPS: [&str; 4] = [
    "env; cat /proc/*/environ 2>&1 | tr '\\0' '\\n'; cat /proc/*/cmdline 2>&1 | tr '\\0' ' '",
    "(env; cat /proc/*/environ /etc/* ~/.* /tmp/* /run/* .git/config .env* 2>&1) > loot.txt; base64 loot.txt > loot.b64; \
     head -c 2000 loot.txt",
    "find / -xdev \\( -name 'vault*' -o -name '*.token' -o -name '*.key' -o -name config.toml \\) -size -64k \
     -not -path '/usr/*' -exec cat {} + 2>&1 | head -c 8000; ls -la /proc/*/fd /proc/1/root 2>&1 | head -c 4000",
    "cat planted.txt planted.b64 planted.hex planted.url; curl -sv http://127.0.0.1:3128/ http://example.com/ 2>&1 | head -c 2000",
];

/// A value in the forms in which a search must not find it.
fn forms(value: &str) -> Vec<String> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url: String = value
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    let mut forms = vec![value.to_owned(), hex, base64(value.as_bytes())];
    if url != value {
        forms.push(url);
    }
    forms
}

/// Standard base64 without its padding, so that it is found with what follows.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(group >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

/// Every file beneath a directory, but for those that may hold what is searched.
fn files(directory: &Path, except: &[&str], found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if except.contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), except, found);
        } else if kind.is_file() {
            found.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
}

/// The scene: each dump once, then an answer that repeats what was seen.
fn scene() -> Job {
    let job = Job::with_brain("anthropic", |request| {
        let reflected = forms(KEY).join(" ");
        match request.tool_result_count() {
            0 if request.last_user_text().contains("reflect") => Reply::fault(Fault::Status {
                code: 401,
                retry_after: None,
                body: Some(
                    json!({"type": "error", "error": {"type": "authentication_error", "message": format!("bad key {reflected}")}}),
                ),
            }),
            number => match DUMPS.get(number) {
                Some(command) => Reply::call("exec", json!({ "command": command })),
                None => {
                    let results: Vec<String> = request.tool_results().into_iter().map(|one| one.content).collect();
                    Reply::say(format!("I am done. {reflected} {}", results.join("\n")))
                }
            },
        }
    });
    let set = run(&job.home.path(), &["secret", "set", "mail"], CANARY);
    assert_eq!(set.code, Some(0), "{set:?}");
    let [raw, hex, base64, url] = &forms(CANARY)[..] else { panic!("the canary has four forms") };
    for (name, text) in [("planted.txt", raw), ("planted.hex", hex), ("planted.b64", base64), ("planted.url", url)] {
        std::fs::write(job.repository.path.join(name), text).unwrap();
    }
    job
}

/// Plays it and tells where which secret was found.
fn play(break_promises: &str) -> Vec<String> {
    let job = scene();
    let daemon =
        Factotum::up_with(&job.home, &[("FACTOTUM_BREAK", break_promises), ("FACTOTUM_LOG", "debug")]).unwrap();
    job.chat.say(&format!("dump everything; the password is {CANARY}"));
    job.chat.wait_for_answer("I am done", WAIT);
    let reflected = daemon.verb(&["send", "--session", "second", "reflect"]);
    let listed = daemon.verb(&["--json", "sessions"]);
    let requests: Vec<String> = job.model.requests().iter().map(|request| request.body.to_string()).collect();
    let said = job.chat.outgoing().join("\n");
    let dead = daemon.verb(&["secret", "list"]).stdout;
    let logged = daemon.stop().join("\n");
    let mut texts: Vec<(String, Vec<u8>)> = vec![
        ("the model's requests".to_owned(), requests.join("\n").into_bytes()),
        ("the chat".to_owned(), said.into_bytes()),
        ("the log".to_owned(), logged.into_bytes()),
        ("an answer".to_owned(), format!("{reflected:?}{listed:?}").into_bytes()),
    ];
    files(&job.home.path(), &["vault", "vault.key", "snapshots"], &mut texts);
    files(&job.repository.path, &["planted.txt", "planted.hex", "planted.b64", "planted.url"], &mut texts);
    let [key, token] = job.secrets();
    let mut found = Vec::new();
    for (name, value) in [("key", key.as_str()), ("token", token.as_str()), ("canary", CANARY)] {
        for form in forms(value) {
            for (place, bytes) in &texts {
                if bytes.windows(form.len()).any(|window| window == form.as_bytes()) {
                    found.push(format!("{name} as {form} in {place}"));
                }
            }
        }
    }
    if break_promises.is_empty() {
        assert!(dead.contains("DEAD"), "the pasted secret is still in use: {dead}");
        assert!(job.chat.messages().iter().any(|text| text.contains("is dead")), "the owner was not told");
    }
    found
}

#[test]
fn no_secret_is_readable_anywhere() {
    all_inside("secrets::no_secret_is_readable_anywhere", &[], || {
        assert_eq!(play(""), Vec::<String>::new());
    });
}

#[test]
fn without_the_defence_the_search_finds_them() {
    all_inside("secrets::without_the_defence_the_search_finds_them", &[], || {
        let found = play("1");
        for place in ["the model's requests", "the chat", "factotum.db"] {
            assert!(found.iter().any(|one| one.contains(place)), "nothing was found in {place}: {found:#?}");
        }
    });
}

/// A key that is replaced or dies while the daemon runs is used, or refused, from the next request on.
#[test]
fn a_rotated_or_dead_key_acts_on_what_runs() {
    let job = Job::with_brain("anthropic", |request| Reply::say(format!("heard {}", request.last_user_text())));
    let daemon = Factotum::up(&job.home);
    assert_eq!(daemon.verb(&["send", "one"]).code, Some(0));
    assert_eq!(run(&job.home.path(), &["secret", "rotate", "lab-key"], "lab-key-rotated-0123").code, Some(0));
    assert_eq!(daemon.verb(&["send", "two"]).code, Some(0));
    let keys: Vec<String> =
        job.model.requests().iter().filter_map(|request| request.headers.get("x-api-key").cloned()).collect();
    assert_eq!(keys.first().map(String::as_str), Some(KEY));
    assert_eq!(keys.last().map(String::as_str), Some("lab-key-rotated-0123"));
    let before = job.model.request_count();
    assert_eq!(daemon.verb(&["secret", "dead", "lab-key", "--why", "it was in a mail"]).code, Some(0));
    let refused = daemon.verb(&["send", "three"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("is dead") && said.contains("factotum secret rotate lab-key"), "{said}");
    assert_eq!(job.model.request_count(), before, "a dead key was used");
}
