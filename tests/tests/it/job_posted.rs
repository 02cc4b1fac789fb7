//! `kill -9` of the whole `factotum up` around the one comment of a review by the real Claude Code: before the repository's host has
//! it, and after the host took it but before our record. One comment stands in the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, middleware, response::Response};
use harness::{
    Repository, all_inside,
    coders::CLAUDE,
    job::WAIT,
    online::{Authority, GitServer, TOKEN, serve_tls},
    process::run,
    shift::{self, Shift},
};
use serde_json::json;
use testkit::{
    forge::{ForgeDouble, Kind},
    model::{Reply, SeenRequest},
};
use types::{JobEnd, JobState};

use crate::job_push::settings;

/// Where the host is: an address of this machine in the test's own network.
const HOST: &str = "10.99.0.2";
const ADDRESSES: [&str; 2] = [shift::ADDRESSES[0], "10.99.0.2/32"];
/// How long a comment is held: longer than any test looks at it.
const HELD: Duration = Duration::from_secs(120);

/// When a comment is held on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Before the host has it.
    Before,
    /// The host took it; its answer does not come.
    After,
}

/// A host in Gitea's manner, with git and its interface at one address.
struct Host {
    directory: tempfile::TempDir,
    api: ForgeDouble,
    /// Comments that came to be posted.
    came: Arc<AtomicUsize>,
    /// The runtime carries the server and must outlive it.
    _runtime: tokio::runtime::Runtime,
}

impl Host {
    /// The first comment is held.
    fn new(hold: Hold) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let directory = tempfile::Builder::new().prefix("factotum-host-").tempdir().unwrap();
        let authority = Authority::new();
        authority.write(&directory.path().join("ca.pem"));
        let (server, api) =
            (GitServer::new(&directory.path().join("served")), ForgeDouble::new(Kind::Gitea, settings()));
        let came: Arc<AtomicUsize> = Arc::default();
        let counted = came.clone();
        let held = move |request: Request, next: middleware::Next| {
            let counted = counted.clone();
            async move { held_comment(request, next, hold, &counted).await }
        };
        let router = Router::new().nest("/api", api.router()).fallback_service(server.router());
        let router = router.layer(middleware::from_fn(held));
        runtime.block_on(serve_tls(&authority, &[HOST], format!("{HOST}:443").parse().unwrap(), router));
        Self { directory, api, came, _runtime: runtime }
    }

    /// What the configuration says of it (TOML).
    fn config(&self) -> String {
        let ca = self.directory.path().join("ca.pem");
        format!(
            "[workspaces.billing.egress]\nsecrets = [\"forge\", \"forge-api\"]\nextra_ca = [\"{ca}\"]\n\
             rules = [{{ host = \"{HOST}\", private = true, methods = [\"GET\", \"POST\"] }}]\n[web]\nextra_ca = [\"{ca}\"]\n",
            ca = ca.display()
        )
    }

    /// Becomes the origin of the repository with a pull request, whose number is given, and stores its token in the home.
    fn adopt(&self, shift: &Shift) -> u64 {
        let repository: &Repository = &shift.scene.repository;
        let bare = self.directory.path().join("served/acme/app.git").display().to_string();
        repository.git(&["init", "-q", "--bare", "-b", "main", &bare]);
        repository.git(&["push", "-q", &bare, "main"]);
        repository.git(&["switch", "-q", "-c", "feature"]);
        std::fs::write(repository.path.join("billing.py"), "def total(lines):\n    return 0\n").unwrap();
        repository.git(&["commit", "-q", "-a", "-m", "simpler"]);
        let number = self.api.add_pull("Simpler", "feature", "main");
        repository.git(&["push", "-q", &bare, &format!("HEAD:refs/pull/{number}/head")]);
        repository.git(&["switch", "-q", "main"]);
        repository.git(&["branch", "-q", "-D", "feature"]);
        repository.git(&["remote", "add", "origin", &format!("https://{HOST}/acme/app")]);
        let bind = ["--bind", HOST, "--path"];
        let git = [&["secret", "set", "forge"], &bind[..], &["/acme/app.git/**", "--basic", "x-access-token"]].concat();
        let git = [&git[..], &["--env", "FORGE_TOKEN"]].concat();
        let api = [&["secret", "set", "forge-api"], &bind[..], &["/api/v1/repos/acme/app/**"]].concat();
        for words in [git, api] {
            let stored = run(&shift.scene.home.path(), &words, TOKEN);
            assert_eq!(stored.code, Some(0), "{stored:?}");
        }
        number
    }

    /// Waits until a comment is held.
    fn wait_until_held(&self, hold: Hold) {
        let begun = Instant::now();
        let is_held = || match hold {
            Hold::Before => self.came.load(Ordering::SeqCst) == 1,
            Hold::After => !self.api.comments().is_empty(),
        };
        while !is_held() {
            assert!(begun.elapsed() < WAIT, "nothing was posted");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn held_comment(request: Request, next: middleware::Next, hold: Hold, counted: &AtomicUsize) -> Response {
    let is_comment = request.method() == "POST" && request.uri().path().ends_with("/comments");
    let is_held = is_comment && counted.fetch_add(1, Ordering::SeqCst) == 0;
    if is_held && hold == Hold::Before {
        tokio::time::sleep(HELD).await;
    }
    let response = next.run(request).await;
    if is_held {
        tokio::time::sleep(HELD).await;
    }
    response
}

fn brain(request: &SeenRequest) -> Reply {
    let finding = json!({ "path": "billing.py", "line": 2, "severity": "blocker", "text": "It forgets the lines." });
    let review = json!({ "summary": "It counts nothing.", "findings": [finding] });
    match request.tool_result_count() {
        0 => CLAUDE.runs("git diff refs/review/base...HEAD"),
        1 => CLAUDE.runs(&format!("cat > review.json <<'E'\n{review}\nE")),
        _ => Reply::say("Reviewed."),
    }
}

fn killed_around(test: &'static str, hold: Hold) {
    all_inside(test, &ADDRESSES, || {
        let host = Host::new(hold);
        let mut shift = Shift::with(CLAUDE, &CLAUDE.program(), &host.config(), brain);
        let number = host.adopt(&shift);
        shift.up();
        let pull = format!("pr={number}");
        let words =
            ["job", "start", "--recipe", "review-pr", "--set", &pull, "--coder", "claude", "--workspace", "billing"];
        let started = shift.verb(&words);
        assert_eq!(started.code, Some(0), "{started:?}");
        let job = shift.jobs()[0].id.0;
        shift.wait(job, "the landing", |view| view.state == JobState::Landing);
        let asked = shift.scene.chat.wait_for_buttons(WAIT);
        assert!(host.api.comments().is_empty());
        shift.scene.chat.press(&asked, "Approve");
        host.wait_until_held(hold);
        // The question that was answered is not taken for the next one.
        shift.scene.chat.wait_for_no_buttons(WAIT);
        shift.kill();
        shift.up();
        if hold == Hold::Before {
            // The yes was used up, and the host has nothing: another comment needs another yes.
            let again = shift.scene.chat.wait_for_buttons(WAIT);
            shift.scene.chat.press(&again, "Approve");
        }
        // Where the host has it, nobody is asked again.
        let (view, end) = shift.ended(job);
        assert_eq!((end, view.rounds, &view.commit), (JobEnd::Done, 1, &None), "{view:#?}");
        let comments = host.api.comments();
        assert!(comments.len() == 1 && comments[0].on == number, "{comments:#?}");
        assert!(comments[0].body.contains("It forgets the lines."), "{comments:#?}");
        let changing: Vec<String> = host.api.requests().into_iter().filter(|one| !one.starts_with("GET ")).collect();
        assert_eq!(changing.len(), 1, "{changing:?}");
        let report = view.report.unwrap_or_default();
        assert!(report.contains("the review is a comment on the pull request: https://host.test/"), "{report}");
        shift.close();
    });
}

#[test]
fn a_comment_that_the_host_has_is_not_posted_again() {
    killed_around("job_posted::a_comment_that_the_host_has_is_not_posted_again", Hold::After);
}

#[test]
fn a_comment_that_the_host_does_not_have_is_posted_after_another_yes() {
    killed_around("job_posted::a_comment_that_the_host_does_not_have_is_posted_after_another_yes", Hold::Before);
}
