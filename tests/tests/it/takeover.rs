//! Take-over as its user does it: from another machine over SSH, with the verbs of the real binary, of each real coding agent at
//! work.

use std::{path::PathBuf, sync::Arc, time::Duration};

use harness::{
    all_inside, all_inside_as_nobody,
    census::wait_until_gone,
    coders::{CLAUDE, CODEX, OPENCODE, Vendor},
    online::{
        Authority, Online, scene,
        vendor::{self, ADDRESS, ADDRESSES, KEY},
    },
    played::gives_way,
    process,
    seat::{AT_HOME, Seat, Ssh, has_tmux, verb},
};
use serde_json::json;
use testkit::model::ModelServer;
use types::{JobEnd, JobId, JobState};

const SIZE: (u16, u16) = (120, 40);

/// A coding agent, and how it is worked with at its own screen.
struct Agent {
    vendor: Vendor,
    /// What it asks first, and the key that answers.
    opening: &'static [(&'static str, &'static str)],
    /// What its screen shows when it can be typed into.
    ready: &'static str,
    /// Whether the owner hands back by ending the program, in place of the verb.
    ends_by_key: bool,
}

/// A daemon with a job of the coding agent in the middle of its work.
struct Stage {
    it: Online,
    model: Arc<ModelServer>,
    ssh: Option<Ssh>,
    home: PathBuf,
    /// The header that carries the key, and what stands before it.
    key: (&'static str, &'static str),
}

impl Stage {
    fn new(vendor: Vendor) -> Self {
        let runtime = scene::runtime();
        let authority = Authority::new();
        let brain = gives_way(move || vendor.runs("cat /workspace/toys.txt"));
        let model = runtime.block_on(vendor::play(&authority, vendor.host, brain));
        let home = tempfile::Builder::new().prefix("factotum-online-").tempdir().unwrap();
        authority.write(&home.path().join("ca.pem"));
        let config = vendor::table(&vendor, &home.path().join("ca.pem")) + "[sandbox]\nmemory_mb = 4096\n";
        let ssh = Ssh::start(home.path());
        let network = scene::played(&[(vendor.host, ADDRESS)]);
        let it = Online::start_in(&runtime, home, &config, network, &[("vendor", KEY, vendor::bound(&vendor))]);
        std::fs::write(it.workspace().join("toys.txt"), "a red toy\n").unwrap();
        let home = it.home.path().join("home");
        Self { it, model, ssh, home, key: vendor.header }
    }

    /// Sits down somewhere and runs a verb on this machine.
    fn sit(&self, name: &str, size: (u16, u16), words: &str) -> Seat {
        let line = verb(&self.home, words);
        let line = self.ssh.as_ref().map_or_else(|| line.clone(), |ssh| ssh.line(&line));
        Seat::new(self.it.home.path(), name, size, &line)
    }

    fn verb(&self, words: &[&str]) -> String {
        let done = process::run(&self.home, words, "");
        assert_eq!(done.code, Some(0), "{done:?}");
        done.stdout
    }

    /// That the coding agent goes on in the same conversation to the end, and nothing is left.
    fn ends(&self, job: JobId, seat: &Seat) {
        let view = self.it.wait_for_job(job, |view| matches!(view.state, JobState::Ended { .. }));
        assert_eq!(view.state, JobState::Ended { end: JobEnd::Done }, "{view:#?}");
        // Whoever looked is back where they came from.
        seat.sees(AT_HOME);
        let requests = self.model.requests();
        let last = requests.iter().rfind(|request| request.contains("at your place")).unwrap();
        for part in ["mend the toys", "which toy is it", "It is the red toy."] {
            assert!(last.contains(part), "the conversation went on: {part}");
        }
        let key = format!("{}{KEY}", self.key.1);
        assert!(requests.iter().all(|request| request.headers[self.key.0] == key && !request.contains(KEY)));
        wait_until_gone(&["tmux.sock", " pane ", "supervisor"]);
    }
}

fn take_over_and_hand_back(test: &'static str, agent: Agent) {
    if has_tmux() {
        all_inside(test, &ADDRESSES, || work(&agent));
    }
}

/// The job is taken over in the middle of its work, and handed back.
fn work(agent: &Agent) {
    let stage = Stage::new(agent.vendor);
    let spec =
        json!({ "brief": "mend the toys", "coder": agent.vendor.coder, "workspace": "online", "then": "nothing" });
    let job = stage.it.start_job(spec);
    stage.it.wait_for_job(job, |view| view.iterations == 1);

    // Reading along first: keys do nothing there.
    let seat = stage.sit("one", SIZE, "attach 1");
    seat.sees("a red toy");
    seat.key("C-c");
    seat.key("C-d");
    let taken = stage.verb(&["job", "takeover", "1"]);
    assert!(taken.contains("job 1 is yours"), "{taken}");
    for (shown, key) in agent.opening {
        seat.sees(shown);
        // What comes too early is not heard.
        for _ in 0..100 {
            seat.key(key);
            std::thread::sleep(Duration::from_millis(300));
            if !seat.shown().contains(shown) {
                break;
            }
        }
    }
    seat.sees(agent.ready);
    let shown = stage.verb(&["job", "show", "1"]);
    assert!(shown.contains("yours") && shown.contains("factotum attach 1"), "{shown}");
    assert!(seat.sees("leave: Ctrl-B d").contains("job-1"), "the line for the windows");
    seat.writes("which toy is it");
    seat.sees("which toy is it");
    seat.key("Enter");
    seat.sees("It is the red toy.");

    // The connection is lost, and the screen is there again in another size.
    seat.breaks_off();
    assert_eq!(stage.it.wait_for_job(job, |_| true).state, JobState::TakenOver);
    let seat = stage.sit("two", (100, 32), "attach 1");
    seat.sees("It is the red toy.");
    if agent.ends_by_key {
        // It may want it twice, or to clear its line first.
        for _ in 0..100 {
            if stage.it.wait_for_job(job, |_| true).state != JobState::TakenOver {
                break;
            }
            seat.key("C-c");
            std::thread::sleep(Duration::from_millis(300));
        }
    } else {
        assert_eq!(stage.verb(&["job", "handback", "1"]), "job 1 goes on by itself\n");
    }
    stage.ends(job, &seat);
}

const OF_CLAUDE: Agent = Agent { vendor: CLAUDE, opening: &[], ready: "manual mode on", ends_by_key: false };

#[test]
fn claude() {
    take_over_and_hand_back("takeover::claude", OF_CLAUDE);
}

#[test]
fn claude_of_an_ordinary_user() {
    if has_tmux() {
        all_inside_as_nobody("takeover::claude_of_an_ordinary_user", &ADDRESSES, || work(&OF_CLAUDE));
    }
}

#[test]
fn codex() {
    let opening = &[("Open restricted", "Enter")];
    let agent = Agent { vendor: CODEX, opening, ready: "Ask Codex", ends_by_key: true };
    take_over_and_hand_back("takeover::codex", agent);
}

#[test]
fn opencode() {
    let agent = Agent { vendor: OPENCODE, opening: &[], ready: "ctrl+p", ends_by_key: true };
    take_over_and_hand_back("takeover::opencode", agent);
}
