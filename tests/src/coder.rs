//! A real coding agent at work: in a supervisor's sandbox, through the proxy, at a vendor that the test plays behind TLS. A
//! process of its own, which the test may kill, is the part of the daemon that attaches, serves the way out and drives.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use coders::{CoderCommand, CoderEvent, Cursor, Driver, Registry, Said, StallLimits, Start};
use egress::{
    Custody, DayTally, EgressConfig, EgressLog, EgressPolicy, EgressRecord, Judge, Limits, Placeholders, Proxy,
    SandboxCa, SandboxEgress, SecretValue, Unrecorded, Upstream, Vault, Who,
};
use policy::{Act, Grant, decide_own};
use sandbox::{
    Attached, ProxyTrust, SandboxConfig, SandboxSpec, Supervised, SupervisedSpec, SupervisorLimits, Workspace,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use testkit::model::ModelServer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, Clock, SecretName, Timestamp, WorkspaceName};

use crate::{
    coders::Vendor,
    online::{
        Authority,
        scene::played,
        vendor::{ADDRESS, KEY, bound, play},
    },
    process::binary,
};

/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells a test that it is the daemon's part, and where.
const ROLE: &str = "FACTOTUM_TEST_DAEMON";

/// What the daemon's part is told, one line each.
#[derive(Serialize, Deserialize)]
enum Order {
    Start {
        start: Start,
        prompt: String,
    },
    Tell(CoderCommand),
    /// Ends the supervisor and itself.
    End,
}

/// What it answers.
#[derive(Serialize, Deserialize)]
enum Answer {
    Ready { asked: Vec<String> },
    Said(CoderEvent),
    Done(Result<(), String>),
}

/// What is kept of what was told, as a daemon's store keeps it.
#[derive(Serialize, Deserialize)]
struct Told {
    cursor: Cursor,
    event: CoderEvent,
}

/// The scene.
pub struct Scene {
    dir: TempDir,
    vendor: Vendor,
    test: &'static str,
    pub model: Arc<ModelServer>,
    daemon: Option<Process>,
    runtime: tokio::runtime::Runtime,
    starts: u32,
    /// What was said while an order was carried out.
    early: VecDeque<CoderEvent>,
}

struct Process {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::Receiver<Answer>,
}

impl Scene {
    /// Plays the vendor with this brain, and starts the daemon's part. `test` is the test's path, as `all_inside` wants it.
    pub fn new(
        vendor: Vendor,
        test: &'static str,
        brain: impl Fn(&testkit::model::SeenRequest) -> testkit::model::Reply + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for part in ["tree", "home", "vault"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        let authority = Authority::new();
        authority.write(&dir.path().join("ca.pem"));
        let vault = Vault::open(&dir.path().join("vault")).unwrap();
        vault.put(&secret(), SecretValue::new(KEY).unwrap(), bound(&vendor), Timestamp(0)).unwrap();
        drop(vault);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let model = runtime.block_on(play(&authority, vendor.host, brain));
        let mut scene = Self { dir, vendor, test, model, daemon: None, runtime, starts: 0, early: VecDeque::new() };
        scene.attach();
        scene
    }

    /// The job's tree.
    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Waits until a file of the job's tree holds just this.
    pub fn wait_for_file(&self, file: &str, text: &str) {
        let path = self.tree().join(file);
        let begun = Instant::now();
        while !std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
            assert!(begun.elapsed() < PATIENCE, "{file} never held {text:?}: {:?}", std::fs::read_to_string(&path));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the vendor was sent a request that holds `text`.
    pub fn wait_for_request(&self, text: &str) {
        let begun = Instant::now();
        while !self.model.requests().iter().any(|request| request.contains(text)) {
            assert!(begun.elapsed() < PATIENCE, "its model was never told {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the daemon's part. Gives the permissions that wait.
    pub fn attach(&mut self) -> Vec<String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", self.test, "--nocapture", "--test-threads=1"]);
        command.env(ROLE, self.dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let (sender, answers) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(answer) = line.split_once("ANSWER ").and_then(|(_, json)| serde_json::from_str(json).ok()) {
                    let _ = sender.send(answer);
                }
            }
        });
        self.daemon = Some(Process { child, orders, answers });
        match self.answer() {
            Answer::Ready { asked } => asked,
            other => panic!("not ready: {}", serde_json::to_string(&other).unwrap()),
        }
    }

    /// Kills the daemon's part, as `kill -9` does.
    pub fn kill(&mut self) {
        let mut process = self.daemon.take().unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        self.early.clear();
    }

    /// Starts the coding agent.
    pub fn start(&mut self, prompt: &str, resume: Option<&str>) {
        self.starts += 1;
        let start = Start {
            model: Some(self.vendor.model.to_owned()),
            resume: resume.map(str::to_owned),
            spent: if resume.is_some() { self.spent() } else { coders::Totals::default() },
            fresh: format!("5b2c{:04x}-0a4f-4c3b-9d6e-0000000000ff", self.starts),
            ..Start::default()
        };
        self.order(&Order::Start { start, prompt: prompt.to_owned() }).unwrap();
    }

    /// What it has used, as it said last.
    pub fn spent(&self) -> coders::Totals {
        let told = self.told();
        let mut totals = told.iter().rev().filter_map(|event| match event {
            CoderEvent::Spent(totals) => Some(*totals),
            _ => None,
        });
        totals.next().unwrap_or_default()
    }

    /// Tells it something.
    pub fn tell(&mut self, command: CoderCommand) {
        self.order(&Order::Tell(command)).unwrap();
    }

    /// Allows or denies.
    pub fn answer_permission(&mut self, permission: &str, verdict: coders::Verdict) {
        self.tell(CoderCommand::Answer { permission: permission.to_owned(), verdict });
    }

    /// What it says up to the first event that fits.
    pub fn until(&mut self, fits: impl Fn(&CoderEvent) -> bool) -> Vec<CoderEvent> {
        let mut said = Vec::new();
        loop {
            let event = match self.early.pop_front() {
                Some(event) => event,
                None => match self.answer() {
                    Answer::Said(event) => event,
                    other => panic!("{} after {said:#?}", serde_json::to_string(&other).unwrap()),
                },
            };
            said.push(event);
            if fits(said.last().unwrap()) {
                return said;
            }
        }
    }

    /// Goes on to the end of the turn, allowing everything. Gives all that was said.
    pub fn to_the_end(&mut self) -> Vec<CoderEvent> {
        let mut said = Vec::new();
        loop {
            let stops =
                |event: &CoderEvent| matches!(event, CoderEvent::Finished { .. } | CoderEvent::PermissionAsked(_));
            said.extend(self.until(stops));
            match said.last() {
                Some(CoderEvent::PermissionAsked(asked)) => {
                    let id = asked.id.clone();
                    self.answer_permission(&id, coders::Verdict::Allow);
                }
                _ => return said,
            }
        }
    }

    /// Everything that was ever told, by whichever daemon, in order.
    pub fn told(&self) -> Vec<CoderEvent> {
        told(self.dir.path()).into_iter().map(|told| told.event).collect()
    }

    /// Ends the coding agent, its supervisor and the daemon's part. Attaching again begins with a new supervisor.
    pub fn end(&mut self) {
        self.order(&Order::End).unwrap();
        self.daemon.take().unwrap().child.wait().unwrap();
        self.early.clear();
    }

    fn order(&mut self, order: &Order) -> Result<(), String> {
        let process = self.daemon.as_mut().unwrap();
        writeln!(process.orders, "{}", serde_json::to_string(order).unwrap()).unwrap();
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "an order is not carried out");
            match self.answer() {
                Answer::Done(result) => return result,
                Answer::Said(event) => self.early.push_back(event),
                Answer::Ready { .. } => panic!("it is ready twice"),
            }
        }
    }

    fn answer(&mut self) -> Answer {
        let process = self.daemon.as_mut().unwrap();
        process.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let records = std::fs::read_to_string(self.dir.path().join("job/records.jsonl")).unwrap_or_default();
            let last: Vec<String> =
                records.lines().rev().take(12).map(|line| line.chars().take(600).collect()).collect();
            panic!("the daemon's part says nothing: {error}; the last records, newest first: {last:#?}")
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut process) = self.daemon.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        let job = self.dir.path().join("job");
        self.runtime.block_on(async {
            if let Ok(Some(supervised)) = Supervised::attach(&job).await {
                supervised.supervised.end().await;
            }
        });
    }
}

fn secret() -> SecretName {
    SecretName::new("vendor-key").unwrap()
}

fn told(dir: &Path) -> Vec<Told> {
    let text = std::fs::read_to_string(dir.join("told.jsonl")).unwrap_or_default();
    // The last line may be torn.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// If this process is the daemon's part: plays it until it is killed or told to end.
pub fn play_daemon(vendor: Vendor) -> bool {
    let Some(dir) = std::env::var_os(ROLE) else { return false };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(daemon(vendor, Path::new(&dir)));
    true
}

fn say(answer: &Answer) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ANSWER {}", serde_json::to_string(answer).unwrap()).unwrap();
    out.flush().unwrap();
}

async fn daemon(vendor: Vendor, dir: &Path) {
    sandbox::Launcher::at(binary()).use_for_all();
    let attached = match Supervised::attach(&dir.join("job")).await.unwrap() {
        Some(attached) => attached,
        None => supervise(vendor, dir).await,
    };
    let Attached { supervised, door, custody } = attached;
    let (ca, placeholders) = Custody::restore(&custody).unwrap();
    let held = placeholders.of(&secret()).unwrap().to_owned();
    let rules = watch::Sender::new(rules(vendor, dir));
    let egress = way_out(dir, ca, placeholders, rules.subscribe());
    let serving = tokio::spawn(Proxy::serve(door, Arc::new(egress), CancellationToken::new()));
    let after = told(dir).last().map_or(Cursor::default(), |told| told.cursor);
    let mut driver =
        Driver::attach(supervised.clone(), Registry::default(), after, StallLimits::default()).await.unwrap();
    let asked = driver.permissions().map(|asked| asked.id.clone()).collect();
    say(&Answer::Ready { asked });
    let mut file = std::fs::File::options().create(true).append(true).open(dir.join("told.jsonl")).unwrap();
    let (sender, mut orders) = tokio::sync::mpsc::channel(8);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.blocking_send(serde_json::from_str::<Order>(&line).unwrap());
        }
    });
    loop {
        tokio::select! {
            said = driver.next() => {
                let Said { cursor, event, .. } = said.unwrap().unwrap();
                writeln!(file, "{}", serde_json::to_string(&Told { cursor, event: event.clone() }).unwrap()).unwrap();
                say(&Answer::Said(event));
            }
            order = orders.recv() => match order.unwrap() {
                Order::Start { start, prompt } => {
                    let start = Start { placeholder: Some((vendor.variable.to_owned(), held.clone())), ..start };
                    begin(&mut driver, vendor, dir, &start, &prompt).await;
                    say(&Answer::Done(Ok(())));
                }
                Order::Tell(command) => {
                    say(&Answer::Done(driver.command(command).await.map_err(|error| error.to_string())));
                }
                Order::End => {
                    supervised.end().await;
                    serving.abort();
                    return say(&Answer::Done(Ok(())));
                }
            }
        }
    }
}

async fn begin(driver: &mut Driver<Supervised>, vendor: Vendor, dir: &Path, start: &Start, prompt: &str) {
    let registry = Registry::default();
    let mut launch = registry.get(vendor.coder).unwrap().launch(start, Some(prompt));
    for seed in &launch.seed {
        let path = dir.join("home").join(&seed.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &seed.content).unwrap();
    }
    launch.argv[0] = vendor.program().display().to_string();
    driver.start(&grant(), vendor.coder, start, Some(prompt), &launch).await.unwrap();
}

fn workspace(dir: &Path) -> Workspace {
    Workspace::open(WorkspaceName::new("job").unwrap(), &dir.join("tree")).unwrap()
}

fn grant() -> Grant {
    decide_own(Act::OwnerCommand, WorkspaceName::new("job").unwrap())
}

/// A new supervisor, with a way out that nobody serves yet.
async fn supervise(vendor: Vendor, dir: &Path) -> Attached {
    let ca = SandboxCa::new(Wall.now()).unwrap();
    let placeholders = Placeholders::new([(secret(), Some(vendor.variable.to_owned()))]).unwrap();
    let program = vendor.program();
    let config = SandboxConfig {
        memory_mb: 4096,
        read_only: vec![program.parent().unwrap().to_owned()],
        ..SandboxConfig::default()
    };
    let mut sandbox = SandboxSpec::new(workspace(dir), &config).unwrap();
    sandbox.home = Some(dir.join("home").canonicalize().unwrap());
    sandbox.proxy = Some(ProxyTrust { ca_pem: ca.pem().to_owned(), system_roots: false });
    sandbox.placeholder_env = placeholders.environment();
    let custody = Custody::of(&ca, &placeholders).bytes().to_vec();
    let (directory, limits) = (dir.join("job"), SupervisorLimits::default());
    Supervised::start(&grant(), SupervisedSpec { sandbox, directory, custody, limits }).await.unwrap()
}

/// The vendor alone.
fn rules(vendor: Vendor, dir: &Path) -> Arc<EgressPolicy> {
    let rules = serde_json::json!({
        "secrets": ["vendor-key"],
        "rules": [{"host": vendor.host, "methods": ["*"]}],
    });
    let rules: EgressConfig = serde_json::from_value(rules).unwrap();
    let tally = Arc::new(DayTally::new(Arc::new(Wall)));
    let mut rules = rules.rules().unwrap();
    // As a job's door has it.
    rules.rules.iter_mut().for_each(|rule| rule.asks_model = true);
    let judge = Judge::new(Arc::new(rules), played(&[(vendor.host, ADDRESS)]), tally);
    Arc::new(EgressPolicy { judge, tainted: None, upstream: Upstream::new(&[dir.join("ca.pem")]).unwrap() })
}

fn way_out(
    dir: &Path,
    ca: SandboxCa,
    placeholders: Placeholders,
    policy: watch::Receiver<Arc<EgressPolicy>>,
) -> SandboxEgress {
    SandboxEgress {
        who: Who { session: Some(1), workspace: Some("job".to_owned()), client: "sandbox" },
        policy,
        untainted: Box::new(|| true),
        placeholders,
        vault: Vault::open(&dir.join("vault")).unwrap(),
        ca,
        log: Arc::new(Log),
        clock: Arc::new(Wall),
        limits: Limits::default(),
    }
}

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(elapsed.as_millis()).unwrap())
    }
}

struct Log;

impl EgressLog for Log {
    fn record<'a>(&'a self, record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        eprintln!("{record:?}");
        Box::pin(async { Ok(()) })
    }
}
