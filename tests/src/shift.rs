//! A job of the real `factotum up` with a coding agent: a home, a workspace, the owner's phone, and the coding agent's vendor, all
//! in namespaces of the test's own. The test may kill the daemon and start it again.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use testkit::{
    model::{ModelServer, Reply, SeenRequest, Served},
    telegram::Settings,
};
use types::{JobEnd, JobState, JobView};

use crate::{
    Factotum, Finished,
    brain::{Next, fixer},
    census::Census,
    coders::Vendor,
    home::OWNER,
    job::{Job, WAIT},
    online::vendor::KEY,
    process::run,
    repository::{RIGHT, TEST_COMMAND},
};

/// Where the vendor is: an address of this machine in the test's own network.
const VENDOR: &str = "10.99.0.1:8443";
/// The addresses that loopback must carry.
pub const ADDRESSES: [&str; 1] = ["10.99.0.1/32"];
/// What the vendor takes, in dollars per million tokens: of new input, read from its cache, put there, and of output. It is what
/// Claude Code and opencode know of their model.
const PRICES: [f64; 4] = [3.0, 0.3, 3.75, 15.0];
/// What one job of the real `factotum` is told to do, unless a test says otherwise.
pub const TASK: &str = "fix the failing tests";
/// The branch on which it works.
pub const BRANCH: &str = "fix-tax";

/// The scene.
pub struct Shift {
    pub scene: Job,
    pub vendor: Vendor,
    /// The coding agent's vendor.
    pub model: ModelServer,
    daemon: Option<Factotum>,
    /// What there was before the first daemon.
    before: Census,
    /// The runtime carries the vendor and must outlive it.
    _runtime: tokio::runtime::Runtime,
}

impl Shift {
    /// A scene with this coding agent, whose model is `brain`. No daemon runs yet.
    pub fn new(vendor: Vendor, brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(vendor, &vendor.program(), "", brain)
    }

    /// The same with another program of the coding agent's kind and more of its settings (TOML of `[coders.NAME]` and what
    /// follows it).
    pub fn with(
        vendor: Vendor,
        program: &Path,
        more: &str,
        brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address: SocketAddr = VENDOR.parse().unwrap();
        let model = runtime.block_on(ModelServer::start_on(address, brain));
        let coder = format!(
            "\n[coders.{name}]\nprogram = \"{program}\"\nsecret = \"vendor\"\nmodel = \"{model}\"\n{settings}\
             base_url = \"http://{VENDOR}{base}\"\n\
             prices = {{ \"gpt-5.5\" = {{ input = 3.0, output = 15.0, cache_read = 0.3, cache_write = 3.75 }} }}\n{more}\n",
            name = vendor.coder,
            program = program.display(),
            model = vendor.model,
            settings = vendor.settings,
            base = vendor.base,
        );
        let scene = Job::with(
            "anthropic",
            Settings::default(),
            |config| config + &coder,
            |request| match fixer(request) {
                Next::Call { say, tool, input } => Reply::tools(say, [(tool, input)]),
                Next::Say(text) => Reply::say(text),
            },
        );
        let header = format!("{}: {}", vendor.header.0, vendor.header.1);
        let bound =
            run(&scene.home.path(), &["secret", "set", "vendor", "--bind", VENDOR, "--header", header.trim_end()], KEY);
        assert_eq!(bound.code, Some(0), "{bound:?}");
        let before = Census::take(&scene.home.beside(""));
        Self { scene, vendor, model, daemon: None, before, _runtime: runtime }
    }

    /// Starts the daemon.
    pub fn up(&mut self) {
        self.daemon = Some(Factotum::up(&self.scene.home));
    }

    /// Starts the daemon with more environment; false when it ended before it was ready.
    pub fn up_with(&mut self, environment: &[(&str, &str)]) -> bool {
        self.daemon = Factotum::up_with(&self.scene.home, environment).ok();
        self.daemon.is_some()
    }

    /// The daemon that runs.
    pub fn daemon(&mut self) -> &mut Factotum {
        self.daemon.as_mut().expect("a daemon runs")
    }

    /// `kill -9` of the daemon.
    pub fn kill(&mut self) {
        self.daemon().kill();
        self.daemon = None;
    }

    /// Runs a verb.
    pub fn verb(&self, arguments: &[&str]) -> Finished {
        run(&self.scene.home.path(), arguments, "")
    }

    /// Orders a job of the coding agent on a branch, done when the repository's tests pass.
    pub fn order(&self, more: &[&str]) -> Finished {
        let coder = self.vendor.coder;
        let mut words = vec!["job", "start", TASK, "--coder", coder, "--workspace", "billing", "--branch", BRANCH];
        words.extend(["--pin", "test_*.py"]);
        words.extend(more);
        if !more.contains(&"--done") {
            words.extend(["--done", TEST_COMMAND]);
        }
        self.verb(&words)
    }

    /// The same, where it must be taken. Gives its number.
    pub fn start(&self, more: &[&str]) -> i64 {
        let started = self.order(more);
        assert_eq!(started.code, Some(0), "{started:?}");
        self.jobs().first().map(|job| job.id.0).expect("a job was started")
    }

    /// Starts a job of our own loop on a branch of its own. Gives its number.
    pub fn start_own(&self) -> i64 {
        let whose = ["job", "start", TASK, "--coder", "factotum", "--workspace", "billing"];
        let how = ["--branch", "by-ourselves", "--done", TEST_COMMAND];
        let started = self.verb(&[&whose[..], &how].concat());
        assert_eq!(started.code, Some(0), "{started:?}");
        self.jobs().first().map(|job| job.id.0).expect("a job was started")
    }

    /// All jobs, latest first.
    pub fn jobs(&self) -> Vec<JobView> {
        self.try_jobs().expect("the daemon lists its jobs")
    }

    /// The same; none when no daemon answers.
    pub fn try_jobs(&self) -> Option<Vec<JobView>> {
        serde_json::from_str(&self.verb(&["--json", "job", "list"]).stdout).ok()
    }

    /// One job.
    pub fn job(&self, job: i64) -> JobView {
        let shown = self.verb(&["--json", "job", "show", &job.to_string()]);
        serde_json::from_str(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {shown:?}"))
    }

    /// Waits until a job is as wanted.
    pub fn wait(&self, job: i64, what: &str, wanted: impl Fn(&JobView) -> bool) -> JobView {
        let begun = Instant::now();
        loop {
            let view = self.job(job);
            if wanted(&view) {
                return view;
            }
            if begun.elapsed() > 2 * WAIT || matches!(view.state, JobState::Ended { .. }) {
                let log = self.verb(&["job", "logs", &job.to_string()]).stdout;
                panic!("{what} did not come: {view:#?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for a job's end.
    pub fn ended(&self, job: i64) -> (JobView, JobEnd) {
        self.ended_meanwhile(job, || ())
    }

    fn ended_meanwhile(&self, job: i64, look: impl Fn()) -> (JobView, JobEnd) {
        let view = self.wait(job, "the end", |view| {
            look();
            matches!(view.state, JobState::Ended { .. })
        });
        let JobState::Ended { end } = view.state.clone() else { panic!("{view:#?}") };
        (view, end)
    }

    /// The owner says yes to what is asked at present, if anything is.
    pub fn approve(&self) {
        let sent = self.scene.chat.server.sent(OWNER).into_iter().rfind(|message| !message.buttons().is_empty());
        if let Some(question) = sent {
            self.scene.chat.press(&(question.id, question.buttons().to_vec()), "Approve");
            // The press takes a moment, and another one on the same question harms nobody.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for a job's end while the owner says yes to everything.
    pub fn ended_with_yes(&self, job: i64) -> (JobView, JobEnd) {
        self.ended_meanwhile(job, || self.approve())
    }

    /// Waits until the vendor has been asked by a request of this kind.
    pub fn wait_for_request(&self, what: &str, wanted: impl Fn(&SeenRequest) -> bool) {
        let begun = Instant::now();
        while !self.model.requests().iter().any(&wanted) {
            assert!(begun.elapsed() < WAIT, "its model was never asked: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a file of a job's tree holds `text`.
    pub fn wait_for_file(&self, job: i64, file: &str, text: &str) {
        let path = self.scene.home.path().join(format!("jobs/{job}/tree/{file}"));
        let begun = Instant::now();
        while !std::fs::read_to_string(&path).is_ok_and(|found| found.contains(text)) {
            assert!(begun.elapsed() < WAIT, "{} never held {text:?}; {:#?}", path.display(), self.job(job));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The work came back as one commit of the branch, and what the owner has checked out is as it was.
    pub fn landed(&self, view: &JobView) {
        let repository = &self.scene.repository;
        let commit = view.commit.clone().expect("a commit");
        assert_eq!(repository.git(&["rev-parse", BRANCH]).trim(), commit);
        assert_eq!(repository.git(&["rev-list", "--count", &format!("main..{BRANCH}")]).trim(), "1");
        assert!(repository.git(&["show", &format!("{BRANCH}:billing.py")]).contains(RIGHT));
        assert_eq!((repository.commits(), repository.git(&["status", "--porcelain"])), (1, String::new()));
    }

    /// All that the coding agent's vendor served and that arrived, summed up.
    pub fn served(&self) -> Served {
        arrived(&self.model)
    }

    /// The job has booked just the tokens that the coding agent's vendor served, at their price.
    pub fn paid_exactly(&self, view: &JobView) {
        self.paid_exactly_to(&self.model, view);
    }

    /// The same of another vendor, who served nobody else.
    pub fn paid_exactly_to(&self, model: &ModelServer, view: &JobView) {
        let (served, used) = (arrived(model), view.usage);
        let told = (used.input, used.cache_read, used.cache_write, used.output + used.reasoning);
        assert_eq!(told, (served.input, served.cache_read, served.cache_write, served.output), "{served:?} {view:?}");
        let [input, cache_read, cache_write, output] = PRICES;
        let exact = served.input as f64 * input
            + served.cache_read as f64 * cache_read
            + served.cache_write as f64 * cache_write
            + served.output as f64 * output;
        // A dollar per million tokens is a millionth of a dollar per token; sums are rounded once for each answer.
        let off = (view.cost.0 as f64 - exact).abs();
        assert!(off <= served.request as f64, "{} is not {exact}", view.cost.0);
    }

    /// Ends the daemon politely, and checks what must hold after every job: the key went to the vendor in its header and nowhere
    /// else, the audit log is whole, nothing of the job lives on.
    pub fn close(mut self) {
        let verified = self.verb(&["log", "verify"]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        self.daemon.take().expect("a daemon runs").stop();
        Census::wait_for(&self.before, &self.scene.home.beside(""), "after the end");
        let sent = format!("{}{KEY}", self.vendor.header.1);
        for request in self.model.requests() {
            assert_eq!(request.headers.get(self.vendor.header.0), Some(&sent), "a request without the key");
            assert!(!request.contains(KEY), "the key stands in a request");
        }
        let jobs = self.scene.home.path().join("jobs");
        let found = std::process::Command::new("grep").args(["-rlF", KEY]).arg(jobs).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the key lies in a job's files");
        assert_eq!(self.model.violations(), Vec::<String>::new());
    }
}

/// All that a vendor served and that arrived, summed up; `request` is their number. What was lost on its way, because a daemon died
/// as it passed, is asked for again in the same words; whoever did not get it cannot know what it cost.
fn arrived(model: &ModelServer) -> Served {
    let requests = model.requests();
    let is_lost = |at: usize| requests[at + 1..].iter().any(|later| later.messages == requests[at].messages);
    let arrived = model.served().into_iter().filter(|one| !is_lost(one.request));
    arrived.fold(Served::default(), |sum, one| Served {
        request: sum.request + 1,
        input: sum.input + one.input,
        cache_read: sum.cache_read + one.cache_read,
        cache_write: sum.cache_write + one.cache_write,
        output: sum.output + one.output,
    })
}
