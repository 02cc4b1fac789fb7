//! The owner's own shells: the real binary, a real tmux, and the owner's terminal played by another tmux.

use std::time::Duration;

use harness::{
    Factotum, Home,
    census::count,
    home::config,
    inside::{all_inside, all_inside_as_nobody},
    process::{self, Finished},
    seat::{self, AT_HOME, Seat, has_tmux},
};
use sandbox::Supervised;

/// What is kept from the sandbox.
const SECRET: &str = "registry-token-value-0123456789";

/// A home with a daemon on it, and the terminals from which the owner comes.
struct Bench {
    home: Home,
    daemon: Option<Factotum>,
}

impl Bench {
    fn new(shells: &str) -> Self {
        let home = Home::new();
        std::fs::create_dir_all(home.beside("billing")).unwrap();
        let egress = "[workspaces.billing.egress]\nsecrets = [\"registry\"]\n";
        home.configure(&format!(
            "{}{egress}{shells}",
            config("anthropic", "http://127.0.0.1:9", &home.beside("billing"), None)
        ));
        process::run(&home.path(), &["secret", "set", "lab-key"], "x");
        let set = ["secret", "set", "registry", "--bind", "registry.example", "--env", "REGISTRY_TOKEN"];
        assert_eq!(process::run(&home.path(), &set, SECRET).code, Some(0));
        let daemon = Some(Factotum::up(&home));
        Self { home, daemon }
    }

    fn kill_daemon(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    fn start_daemon(&mut self) {
        self.daemon = Some(Factotum::up(&self.home));
    }

    fn verb(&self, arguments: &[&str]) -> Finished {
        process::run(&self.home.path(), arguments, "")
    }

    fn terminals(&self) -> String {
        self.verb(&["terminals"]).stdout
    }

    /// Sits down at a terminal of this size and runs a verb there.
    fn sit(&self, name: &str, size: (u16, u16), verb: &str) -> Seat {
        Seat::new(&self.home.beside("."), name, size, &seat::verb(&self.home.path(), verb))
    }

    /// What the audit log says of shells, in order.
    fn audited(&self) -> Vec<String> {
        let log = self.verb(&["log", "show", "--json"]).stdout;
        let records: Vec<serde_json::Value> = serde_json::from_str(&log).unwrap();
        let details = records.iter().map(|record| &record["detail"]).filter(|detail| detail["shell"].is_string());
        details.map(|detail| detail["closed"].as_str().unwrap_or("opened").to_owned()).collect()
    }

    /// That nothing is left: no process, no window, no socket.
    fn is_clean(&self) {
        for word in ["tmux.sock", " pane ", "sandbox-init", "supervisor"] {
            wait_for(word, || count(word) == 0);
        }
        // The daemon removes them when the end was recorded, which is after the last process.
        wait_for("a directory", || std::fs::read_dir(self.home.path().join("shells")).unwrap().count() == 0);
    }
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..750 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what:?} is left");
}

/// Says at which size a terminal is, once it is at this one: a window takes the size of its terminal a moment after it is shown.
fn at_size(who: &str, size: &str) -> String {
    format!("until stty size | grep -q '^{size}$'; do sleep 0.1; done; echo {who} at $(stty size)")
}

fn inside(name: &str, test: impl FnOnce()) {
    if has_tmux() {
        all_inside(&format!("shells::{name}"), &[], test);
    }
}

#[test]
fn a_shell_outlives_the_daemon_and_the_connection() {
    inside("a_shell_outlives_the_daemon_and_the_connection", || {
        let mut bench = Bench::new("");
        let seat = bench.sit("one", (100, 30), "shell");
        // It says whose sandbox it is, and is one.
        seat.sees("billing /workspace");
        // A window takes the size of its terminal a moment after it is shown.
        seat.types("echo in the $(hostname), $PWD | tr a-z A-Z; until stty size | grep '^29 .00$'; do sleep 0.1; done");
        seat.sees("IN THE SANDBOX, /WORKSPACE");
        // The size of this terminal, without a line for the windows.
        seat.sees("29 100");
        seat.types("echo hello > from-the-shell; mark=kept; sleep 600");
        wait_for("the start of sleep", || count("sleep 600") == 1);
        seat.key("C-c");
        seat.types("echo $? and $mark");
        seat.sees("130 and kept");
        assert_eq!(std::fs::read_to_string(bench.home.beside("billing/from-the-shell")).unwrap(), "hello\n");

        // The secret stays outside, and the workspace's rules hold.
        seat.types(
            "clear; echo \"<$REGISTRY_TOKEN>\"; cat ~/../../proc/*/environ 2>/dev/null | grep -c registry-token-value",
        );
        let shown = seat.sees("\n0\n");
        assert!(shown.contains('<') && !shown.contains("<>") && !shown.contains(SECRET), "{shown}");
        let connect = "exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT elsewhere.example:443 HTTP/1.1\\r\\n\\r\\n' >&3; head -1 <&3";
        seat.types(&format!("clear; {connect}"));
        seat.sees("403");

        // STOP ends what the agent does, and not what the owner does.
        assert_eq!(bench.verb(&["stop"]).code, Some(0));
        bench.kill_daemon();
        seat.types("echo without a daemon: $mark");
        seat.sees("without a daemon: kept");
        // What leaves waits for the next daemon.
        seat.types(&format!("clear; {connect}; echo answered"));
        seat.breaks_off();
        bench.start_daemon();
        let seat = bench.sit("two", (80, 24), "shell");
        assert!(seat.sees("answered").contains("403"));
        seat.types("echo again: $mark, $(stty size)");
        seat.sees("again: kept, 23 80");
        assert_eq!(bench.terminals(), "shell-billing\n");

        seat.key("C-b");
        seat.key("d");
        seat.sees(AT_HOME);
        let seat = bench.sit("three", (80, 24), "attach shell-billing");
        seat.sees("again: kept");
        seat.key("C-d");
        seat.sees(AT_HOME);
        bench.is_clean();
        assert_eq!(bench.audited(), ["opened", "it ended"]);
        assert_eq!(bench.terminals(), "there are no terminals\n");
        let gone = bench.verb(&["attach", "shell-billing"]);
        assert!(gone.stderr.contains("there is no shell billing"), "{gone:?}");
    });
}

#[test]
fn shells_are_apart_counted_and_closed() {
    inside("shells_are_apart_counted_and_closed", || {
        let mut bench = Bench::new("[shells]\nat_once = 2\n");
        let first = bench.sit("one", (100, 30), "shell");
        first.sees("billing /workspace");
        let second = bench.sit("two", (60, 20), "shell --name build");
        second.sees("build /workspace");
        // Each client shows its own window, in its own size.
        first.types(&at_size("first", "29 100"));
        first.sees("first at 29 100");
        second.types(&at_size("second", "19 60"));
        second.sees("second at 19 60");
        assert!(!first.shown().contains("second"), "{}", first.shown());
        assert_eq!(bench.terminals(), "shell-billing\nshell-build\n");
        assert_eq!(count("tmux.sock"), 3, "a server and two clients");

        let third = bench.verb(&["shell", "--name", "third", "--detached"]);
        assert!(third.stderr.contains("2 shells are open already"), "{third:?}");
        let again = bench.verb(&["shell", "--name", "build", "--detached"]);
        assert!(again.stdout.contains("the shell build in billing was open already"), "{again:?}");
        let nowhere = bench.verb(&["shell", "--workspace", "nowhere", "--detached"]);
        assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
        let untold = bench.verb(&["shell"]);
        assert!(untold.stderr.contains("a shell needs a terminal"), "{untold:?}");

        // Closing one ends what runs in it, sends its clients back, and leaves the other alone.
        second.types("sleep 700 & disown");
        wait_for("the start of sleep", || count("sleep 700") == 1);
        let closed = bench.verb(&["terminals", "close", "shell-build"]);
        assert_eq!(closed.stdout, "the shell build is closed\n", "{closed:?}");
        assert_eq!(count("sleep 700"), 0);
        second.sees(AT_HOME);
        assert!(!second.shown().contains("error"), "{}", second.shown());
        first.types("echo still here | tr a-z A-Z");
        first.sees("STILL HERE");
        let missing = bench.verb(&["terminals", "close", "shell-build"]);
        assert!(missing.stderr.contains("there is no shell build"), "{missing:?}");

        // One that ends while no daemon runs is buried by the next one.
        bench.kill_daemon();
        first.types("exit");
        first.sees(AT_HOME);
        bench.start_daemon();
        wait_for("its directory", || bench.verb(&["shell", "--name", "next", "--detached"]).code == Some(0));
        assert_eq!(bench.terminals(), "shell-next  (in no window)\n");
        assert_eq!(bench.verb(&["terminals", "close", "shell-next"]).code, Some(0));
        bench.is_clean();
        let ended = "it ended while no daemon ran";
        assert_eq!(bench.audited(), ["opened", "opened", "you closed it", ended, "opened", "you closed it"]);
    });
}

#[test]
fn whoever_dies_in_between_leaves_nothing() {
    inside("whoever_dies_in_between_leaves_nothing", || {
        let mut bench = Bench::new("");
        assert_eq!(bench.verb(&["shell", "--detached"]).code, Some(0));
        // Its supervisor, and with it the sandbox: as when the machine loses its power, but for the daemon.
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if let (true, Ok(pid)) = (line.contains("supervisor"), entry.file_name().to_string_lossy().parse()) {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
        wait_for("the record of its end", || bench.audited() == ["opened", "its supervisor ended"]);
        bench.is_clean();
        // The name is free again, with a home of its own.
        assert_eq!(bench.verb(&["shell", "--detached"]).code, Some(0));
        // A directory without a supervisor, and one that the journal does not know.
        bench.kill_daemon();
        std::fs::create_dir_all(bench.home.path().join("shells/ghost/home")).unwrap();
        bench.start_daemon();
        assert!(bench.verb(&["shell", "--detached"]).stdout.contains("was open already"));
        wait_for("the ghost", || !bench.home.path().join("shells/ghost").exists());
        assert_eq!(bench.verb(&["terminals", "close", "shell-billing"]).code, Some(0));
        bench.is_clean();
    });
}

#[test]
fn one_that_was_not_taken_up_is_ended_before_another_begins() {
    inside("one_that_was_not_taken_up_is_ended_before_another_begins", || {
        let mut bench = Bench::new("");
        assert_eq!(bench.verb(&["shell", "--detached"]).code, Some(0));
        bench.kill_daemon();
        // Somebody else holds it, as a daemon would that hangs.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let directory = bench.home.path().join("shells/billing");
        let attach = || runtime.block_on(Supervised::attach(&directory)).ok().flatten();
        // That the first daemon is gone is noticed a moment later.
        let mut held = attach();
        for _ in 0..500 {
            if held.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            held = attach();
        }
        assert!(held.is_some(), "it cannot be held");
        bench.start_daemon();
        let second = bench.verb(&["shell", "--detached"]);
        assert!(second.stderr.contains("an earlier shell billing still runs"), "{second:?}");
        assert!(second.stderr.contains("factotum terminals close shell-billing"), "{second:?}");
        assert_eq!(count("supervisor"), 1);
        assert!(directory.join("home").exists() && directory.join("socket").exists());
        let refused = bench.verb(&["terminals", "close", "shell-billing"]);
        assert!(refused.stderr.contains("another daemon is attached"), "{refused:?}");

        drop(held);
        let closed = bench.verb(&["terminals", "close", "shell-billing"]);
        assert_eq!(closed.stdout, "the shell billing is closed\n", "{closed:?}");
        bench.is_clean();
        assert_eq!(bench.audited(), ["opened", "you closed it"]);
        assert_eq!(bench.verb(&["shell", "--detached"]).code, Some(0));
        assert_eq!(bench.verb(&["terminals", "close", "shell-billing"]).code, Some(0));
        bench.is_clean();
    });
}

#[test]
fn an_ordinary_user_has_them_and_comes_with_tmux_itself() {
    if !has_tmux() {
        return;
    }
    all_inside_as_nobody("shells::an_ordinary_user_has_them_and_comes_with_tmux_itself", &[], || {
        let mut bench = Bench::new("");
        let seat = bench.sit("one", (100, 30), "shell");
        seat.sees("billing /workspace");
        seat.types("echo it is $(id -u) | tr a-z A-Z; echo hello > from-the-shell; mark=kept");
        seat.sees("IT IS 1000");
        let written = std::fs::metadata(bench.home.beside("billing/from-the-shell")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&written), rustix::process::geteuid().as_raw());
        bench.kill_daemon();
        seat.types("echo without a daemon: $mark");
        seat.sees("without a daemon: kept");

        // As docs/terminals.md says. The owner's terminal is a tmux as well here, which tmux would ask about.
        let socket = bench.home.path().join("tmux.sock");
        let line = format!("unset TMUX; tmux -S {} attach", socket.display());
        let by_hand = Seat::new(&bench.home.beside("."), "two", (90, 28), &line);
        by_hand.sees("without a daemon: kept");
        by_hand.types("echo typed by hand | tr a-z A-Z");
        by_hand.sees("TYPED BY HAND");
        // Keys of tmux that would start a program outside do nothing.
        let before = count(" pane ");
        for key in ["c", "%", "!"] {
            by_hand.key("C-b");
            by_hand.key(key);
        }
        // Keys in a quick row may pass for pasted text, which goes to the shell.
        by_hand.key("C-u");
        by_hand.types("echo still $mark, in $(hostname) | tr a-z A-Z");
        by_hand.sees("STILL KEPT, IN SANDBOX");
        by_hand.key("C-b");
        by_hand.key("d");
        by_hand.sees(AT_HOME);
        by_hand.breaks_off();

        bench.start_daemon();
        wait_for("its being taken up", || bench.terminals() == "shell-billing\n");
        assert_eq!(count(" pane "), before, "no window was added");
        seat.types("exit");
        seat.sees(AT_HOME);
        bench.is_clean();
        assert_eq!(bench.audited(), ["opened", "it ended"]);
    });
}
