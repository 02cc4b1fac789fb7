//! A newcomer without a key: the practice model drives the real machine, and says what it is.

use std::time::{Duration, Instant};

use harness::{Factotum, Home, process::run};

/// Waits for the one approval of the practice job and answers it.
fn answer(daemon: &Factotum, verb: &str) {
    let start = Instant::now();
    while daemon.verb(&[verb, "1"]).code != Some(0) {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing was asked");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_first_minute() {
    for (verb, told) in [("approve", "With your approval"), ("deny", "the failing test in the toy project is fixed")] {
        let home = Home::new();
        home.configure("[api]\nlisten = \"127.0.0.1:0\"\n");
        let daemon = Factotum::up(&home);
        let finished = std::thread::scope(|scope| {
            let send = scope.spawn(|| run(&home.path(), &["send", "fix the failing test"], ""));
            answer(&daemon, verb);
            send.join().unwrap()
        });
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stdout.contains(told), "{finished:?}");
        let build = home.path().join("workspaces/practice/build");
        assert_eq!(build.exists(), verb == "deny", "the build directory");
        let other = daemon.verb(&["send", "what is the weather like?"]);
        assert!(other.stdout.contains("script") && other.stdout.contains("factotum setup"), "{other:?}");
        assert_eq!(daemon.verb(&["log", "verify"]).code, Some(0));
    }
}
