//! The host from which the workspace's repository comes and to which a job pushes: git over HTTPS at an address of the test's own
//! network. A push can be held in its middle.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, middleware, response::Response};
use tempfile::TempDir;

use crate::{
    Repository,
    job::WAIT,
    online::{Authority, GitServer, TOKEN, serve_tls},
    process::run,
};

/// Where it is: an address of this machine in the test's own network.
const HOST: &str = "10.99.0.2";
/// The address that loopback must carry.
pub const ADDRESS: &str = "10.99.0.2/32";
/// How long a push is held: longer than any test looks at it.
const HELD: Duration = Duration::from_secs(120);

/// The host.
pub struct Origin {
    directory: TempDir,
    server: GitServer,
    /// How many pushes are still to be held, and how many came so far.
    held: Arc<AtomicUsize>,
    pushes: Arc<AtomicUsize>,
    /// The runtime carries the server and must outlive it.
    _runtime: tokio::runtime::Runtime,
}

impl Default for Origin {
    fn default() -> Self {
        Self::new()
    }
}

impl Origin {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let directory = tempfile::Builder::new().prefix("factotum-origin-").tempdir().unwrap();
        let authority = Authority::new();
        authority.write(&directory.path().join("ca.pem"));
        let (held, pushes): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (waiting, counted) = (held.clone(), pushes.clone());
        let hold = move |request: Request, next: middleware::Next| {
            let (waiting, counted) = (waiting.clone(), counted.clone());
            async move { held_push(request, next, &waiting, &counted).await }
        };
        let server = GitServer::new(&directory.path().join("served"));
        let router: Router = server.router().layer(middleware::from_fn(hold));
        let address = format!("{HOST}:443").parse().unwrap();
        runtime.block_on(serve_tls(&authority, &[HOST], address, router));
        Self { directory, server, held, pushes, _runtime: runtime }
    }

    /// What the configuration says of it (TOML).
    pub fn config(&self) -> String {
        format!(
            "[workspaces.billing.egress]\nsecrets = [\"forge\"]\nextra_ca = [\"{}\"]\n\
             rules = [{{ host = \"{HOST}\", private = true, methods = [\"GET\", \"POST\"] }}]\n",
            self.directory.path().join("ca.pem").display()
        )
    }

    /// Becomes the origin of a repository, and stores the token in a home.
    pub fn adopt(&self, repository: &Repository, home: &Path) {
        self.server.adopt(repository);
        repository.git(&["remote", "add", "origin", &format!("https://{HOST}/acme/app")]);
        let words = ["secret", "set", "forge", "--bind", HOST, "--basic", "x-access-token", "--env", "FORGE_TOKEN"];
        let stored = run(home, &words, TOKEN);
        assert_eq!(stored.code, Some(0), "{stored:?}");
    }

    /// Holds the next push in its middle.
    pub fn hold_the_next(&self) {
        self.held.store(1, Ordering::SeqCst);
    }

    /// Waits until so many pushes have come, held ones among them.
    pub fn wait_for_pushes(&self, count: usize) {
        let begun = Instant::now();
        while self.pushes.load(Ordering::SeqCst) < count {
            assert!(begun.elapsed() < WAIT, "nothing was pushed");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The commit at the end of a branch there.
    pub fn branch(&self, repository: &Repository, name: &str) -> String {
        repository.git(&["-C", &self.bare(), "rev-parse", name]).trim().to_owned()
    }

    fn bare(&self) -> String {
        self.directory.path().join("served/acme/app.git").display().to_string()
    }
}

async fn held_push(request: Request, next: middleware::Next, waiting: &AtomicUsize, counted: &AtomicUsize) -> Response {
    let has_login = request.headers().contains_key("authorization");
    if has_login && request.method() == "POST" && request.uri().path().ends_with("git-receive-pack") {
        counted.fetch_add(1, Ordering::SeqCst);
        let is_held = waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok();
        if is_held {
            tokio::time::sleep(HELD).await;
        }
    }
    next.run(request).await
}
