//! Bad input gets a clear error and loses nothing.

use std::time::Duration;

use harness::{
    Factotum, Home, home,
    job::{Job, WAIT},
    process::run,
};

/// Starting with this configuration fails, and the error says all of `expected`.
fn refused(config: &str, expected: &[&str]) {
    let home = Home::new();
    home.configure(config);
    let finished = match Factotum::up_with(&home, &[]) {
        Ok(daemon) => panic!("it started: {}", daemon.ready),
        Err(finished) => finished,
    };
    assert_eq!(finished.code, Some(3), "{finished:?}");
    for text in expected {
        assert!(finished.stderr.contains(text), "`{text}` is missing in: {}", finished.stderr);
    }
}

#[test]
fn a_broken_configuration_is_refused_with_its_line() {
    refused("[agent]\nmodel = \"lab/model-1\"\nmodle = 3\n", &["line 3", "modle", "hint"]);
    refused("[agent\n", &["line 1"]);
    refused("[budget]\nsteps = \"many\"\n", &["line 2", "steps"]);
    refused("[agent]\nmodel = \"nowhere/model-1\"\n", &["nowhere", "hint"]);
    refused("[api]\nlisten = \"0.0.0.0:7717\"\n", &["0.0.0.0", "127.0.0.1"]);
}

#[test]
fn a_missing_secret_is_named() {
    let home = Home::new();
    let workspace = home.beside("w");
    std::fs::create_dir_all(&workspace).unwrap();
    refused(
        &home::config("anthropic", "http://127.0.0.1:9", &workspace, None),
        &["lab-key", "factotum secret set lab-key"],
    );
}

#[test]
fn an_occupied_port_and_a_second_instance_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    home.configure(&format!("[api]\nlisten = \"{address}\"\n"));
    let finished = Factotum::up_with(&home, &[]).err().unwrap();
    assert!(finished.stderr.contains(&address), "{finished:?}");

    let home = Home::new();
    home.configure("[api]\nlisten = \"127.0.0.1:0\"\n");
    let first = Factotum::up(&home);
    let second = Factotum::up_with(&home, &[]).err().unwrap();
    assert!(second.stderr.contains(&first.pid().to_string()), "the holder is named: {second:?}");
}

#[test]
fn a_corrupt_database_is_kept_and_named() {
    let job = Job::new("anthropic");
    Factotum::up(&job.home).stop();
    let database = job.home.path().join("factotum.db");
    let garbage = vec![b'x'; 65_536];
    std::fs::write(&database, &garbage).unwrap();
    let _ = std::fs::remove_file(job.home.path().join("factotum.db-wal"));
    let finished = Factotum::up_with(&job.home, &[]).err().unwrap();
    assert!(finished.stderr.contains("factotum.db"), "{finished:?}");
    assert!(finished.stderr.contains("hint"), "{finished:?}");
    assert_eq!(std::fs::read(&database).unwrap(), garbage, "the file was touched");
}

#[test]
fn a_huge_message_and_invalid_utf8_are_refused_and_the_daemon_lives() {
    let job = Job::new("anthropic");
    let daemon = Factotum::up(&job.home);
    let huge = run(&job.home.path(), &["send", "-"], &"x".repeat(100_000_000));
    assert_eq!(huge.code, Some(2), "{}", huge.stderr);
    let invalid = send_bytes(&job, b"caf\xe9 \xff\xfe");
    assert_eq!(invalid.code, Some(2), "{invalid:?}");
    assert!(invalid.stderr.contains("UTF-8"), "{invalid:?}");
    assert_eq!(daemon.verb(&["send", "hello"]).code, Some(0));
    assert_eq!(job.model.request_count(), job.model.requests().iter().filter(|r| !r.contains("xxxxxxxx")).count());
}

fn send_bytes(job: &Job, bytes: &[u8]) -> harness::Finished {
    use std::io::Write;
    let mut child = harness::process::command(&job.home.path(), &["send", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    harness::Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn no_secret_is_seen_anywhere() {
    let job = Job::new("anthropic");
    let daemon = Factotum::up(&job.home);
    job.chat.say("fix the failing tests");
    job.chat.wait_for_answer("All tests pass", WAIT);
    std::thread::sleep(Duration::from_millis(300));
    let errors = daemon.stop().join("\n");
    for secret in job.secrets() {
        assert!(!errors.contains(&secret), "a secret is in the log");
        for entry in std::fs::read_dir(job.home.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret stands in {}", path.display());
            }
        }
    }
}
