//! A workspace with a repository, and a job's own places beside it, without a daemon: for what is done to a job's tree.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent::RulesInForce;
use daemon::jobs::{
    Author, Site,
    consent::Desk,
    forge::Forges,
    land::{Landed, Landing, Message},
};
use egress::{DayTally, EgressLog, EgressRecord, EgressRules, Fetcher, Judge, Unrecorded, Upstream, Vault, Who};
use sandbox::{Doors, Pool, SandboxConfig, Workspace};
use store::{NewSession, NewTurn, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use types::{
    Answer, BoxFuture, ChannelId, Clock, JobId, Origin, OwnerRequest, Place, Scope, SessionId, Then, Timestamp, TurnId,
    WorkspaceName,
};

use crate::Repository;

/// The places.
pub struct Workshop {
    pub outer: TempDir,
    pub repository: Repository,
    pub store: Store,
    pub pool: Arc<Pool>,
    pub runtime: Arc<Runtime>,
    pub session: SessionId,
    pub turn: TurnId,
    pub vault: Vault,
    clock: Arc<dyn Clock>,
    forges: std::sync::Mutex<Option<Forges>>,
}

impl Default for Workshop {
    fn default() -> Self {
        Self::new(&crate::online::scene::runtime())
    }
}

impl Workshop {
    /// A workspace `billing` with failing tests and one commit, and the owner's turn.
    pub fn new(runtime: &Arc<Runtime>) -> Self {
        sandbox::Launcher::at(crate::process::binary()).use_for_all();
        let outer = tempfile::Builder::new().prefix("factotum-job-").tempdir().unwrap();
        let repository = Repository::with_failing_tests(&outer.path().join("billing"));
        let home = outer.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(daemon::SystemClock::new());
        // A store and its writers live on a runtime.
        let _inside = runtime.enter();
        let store = Store::in_memory(clock.clone()).unwrap();
        let vault = Vault::open(&home).unwrap();
        let pool = Arc::new(Pool::new(SandboxConfig::default(), &home));
        let (session, turn) = runtime.block_on(begin(&store));
        Self {
            outer,
            repository,
            store,
            pool,
            runtime: runtime.clone(),
            session,
            turn,
            vault,
            clock,
            forges: std::sync::Mutex::new(None),
        }
    }

    /// The agent's home.
    pub fn home(&self) -> PathBuf {
        self.outer.path().join("home")
    }

    /// The workspace.
    pub fn workspace(&self) -> Workspace {
        Workspace::open(name(), &self.repository.path).unwrap()
    }

    /// A job's places.
    pub fn site(&self, job: i64, place: Place) -> Site {
        Site {
            job: JobId(job),
            session: self.session,
            turn: self.turn,
            place,
            workspace: self.workspace(),
            directory: self.home().join(format!("jobs/{job}")),
            pool: self.pool.clone(),
            store: self.store.clone(),
        }
    }

    /// A job on a branch that begins with what is checked out.
    pub fn on_branch(&self, job: i64, branch: &str) -> Site {
        self.site(job, Place::Branch { branch: branch.to_owned(), base: None })
    }

    /// Runs something to its end.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Makes the job's tree.
    pub fn prepare(&self, site: &Site) -> Vec<String> {
        self.wait(daemon::jobs::tree::prepare(site, &author())).unwrap()
    }

    /// Serves the doors of sandboxes in this way, and reaches hosts in that.
    pub fn reach(&self, doors: Doors, forges: Forges) {
        self.pool.use_doors(doors);
        *self.forges.lock().unwrap() = Some(forges);
    }

    /// Lands the job's work; the owner answers every question as told. Gives the questions too.
    pub fn land(&self, site: &Site, then: Then, answer: Answer) -> (Landed, Vec<OwnerRequest>) {
        let (landed, asked) = self.try_land(site, then, answer);
        (landed.unwrap(), asked)
    }

    /// The same, where it may fail.
    pub fn try_land(&self, site: &Site, then: Then, answer: Answer) -> (Result<Landed, String>, Vec<OwnerRequest>) {
        self.landing(site, then, answer, false)
    }

    /// Lands the job's work until a question waits for the owner; then the daemon dies.
    pub fn begin_to_land(&self, site: &Site, then: Then) {
        let (author, message) = (author(), message(site));
        let (desk, forges) = (self.desk(), self.forges());
        self.wait(async {
            let landing = self.landing_of(then, (&author, &message), &desk, &forges, false);
            tokio::select! {
                landed = daemon::jobs::land::land(site, &landing) => panic!("nothing was asked: {landed:?}"),
                () = asked(&self.store) => {}
            }
        });
    }

    /// Lands what a done condition was found to hold for, and nothing else.
    pub fn land_checked(&self, site: &Site) -> Landed {
        self.landing(site, Then::Commit, Answer::Denied, true).0.unwrap()
    }

    fn landing(
        &self,
        site: &Site,
        then: Then,
        answer: Answer,
        was_checked: bool,
    ) -> (Result<Landed, String>, Vec<OwnerRequest>) {
        let (author, message) = (author(), message(site));
        let (desk, forges) = (self.desk(), self.forges());
        self.while_answering(answer, async {
            let landing = self.landing_of(then, (&author, &message), &desk, &forges, was_checked);
            daemon::jobs::land::land(site, &landing).await.map_err(|error| error.to_string())
        })
    }

    fn landing_of<'a>(
        &self,
        then: Then,
        (author, message): (&'a Author, &'a Message),
        desk: &'a Desk,
        forges: &'a Forges,
        was_checked: bool,
    ) -> Landing<'a> {
        let at = Timestamp(1_700_000_000_000);
        Landing { then, author, message, at, desk, redactor: self.vault.redactor(), forges, was_checked }
    }

    /// Does something while the owner answers every question as told. Gives all questions so far too.
    pub fn while_answering<T>(&self, answer: Answer, work: impl Future<Output = T>) -> (T, Vec<OwnerRequest>) {
        self.wait(async {
            let answering = tokio::spawn(answer_all(self.store.clone(), answer));
            let done = work.await;
            answering.abort();
            let _ = answering.await;
            let all = (1..100).filter_map(|id| self.store.request(types::RequestId(id)).unwrap()).collect();
            (done, all)
        })
    }

    /// Ways to the hosts of repositories, as far as [`Workshop::reach`] opened them.
    pub fn forges(&self) -> Forges {
        self.forges.lock().unwrap().clone().unwrap_or_else(|| nowhere(self.vault.clone(), &self.clock))
    }

    /// Who puts questions.
    pub fn desk(&self) -> Desk {
        Desk { rules: RulesInForce::default(), clock: self.clock.clone(), patience: Duration::from_secs(60) }
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// The commands that the audit log tells of.
    pub fn audited(&self) -> Vec<serde_json::Value> {
        self.store.audit().read(0, 10_000).unwrap().into_iter().map(|record| record["detail"].clone()).collect()
    }
}

/// Who commits.
pub fn author() -> Author {
    Author::parse("Factotum <factotum@example.test>").unwrap()
}

/// The owner's yes.
pub fn yes() -> Answer {
    Answer::Approved { scope: Scope::Once }
}

fn name() -> WorkspaceName {
    WorkspaceName::new("billing").unwrap()
}

fn message(site: &Site) -> Message {
    Message::new(site.job, "claude", "Fix the failing tests\n\nAll of them.", "2 rounds")
}

/// Waits for a question.
async fn asked(store: &Store) {
    while store.open_requests().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn begin(store: &Store) -> (SessionId, TurnId) {
    let work = |tx: &mut store::Tx<'_>| {
        let session = tx.create_session(NewSession {
            key: Some("job-1".to_owned()),
            title: "job".to_owned(),
            workspace: name(),
        })?;
        let turn = tx.begin_turn(NewTurn {
            session,
            origin: Origin::Owner,
            model: "claude".to_owned(),
            inbox: Vec::new(),
            reply_channel: ChannelId::api(),
            reply_to: None,
        })?;
        Ok((session, turn))
    };
    store.transact(work).await.unwrap()
}

async fn answer_all(store: Store, answer: Answer) {
    loop {
        for request in store.open_requests().unwrap() {
            let answer = answer.clone();
            store.transact(move |tx| tx.answer(request.id, answer, None)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A log for requests that are not looked at.
pub struct Unlogged;

impl EgressLog for Unlogged {
    fn record<'a>(&'a self, _: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async { Ok(()) })
    }
}

/// Ways to hosts by which nothing is reached.
fn nowhere(vault: Vault, clock: &Arc<dyn Clock>) -> Forges {
    let rules: Arc<EgressRules> = Arc::default();
    let judge = Judge::new(rules.clone(), crate::online::scene::played(&[]), Arc::new(DayTally::new(clock.clone())));
    let fetcher = Fetcher::new(judge, Upstream::new(&[]).unwrap(), Arc::new(Unlogged), None, Who::default());
    Forges::new(fetcher, rules, vault)
}

/// Everything below a directory: the path, the mode and what is in it.
pub fn picture(directory: &Path) -> std::collections::BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        let found = std::fs::symlink_metadata(&path).unwrap();
        let content = if found.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if found.is_symlink() {
            std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            std::fs::read(&path).unwrap()
        };
        seen.insert(path, (found.mode(), content));
    }
    seen
}
