//! A daemon in this process, with a model that runs what it is told to, and a played network.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use daemon::{Config, Daemon, Options, SelfTest, api::views::CoderView, client::Client};
use egress::{AddressRules, Interfaces, Network, SecretSettings, SecretValue, SystemResolver, TableResolver, Vault};
use futures_util::stream;
use tempfile::TempDir;
use testkit::model::ModelServer;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use types::{
    Block, Command, CommandReply, Event, Failure, JobEnd, JobId, JobState, JobView, ModelEvent, ModelReply,
    ModelRequest, OwnerRequest, Provider, SecretName, Seq, StopReason, Timestamp, Usage,
};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// A model that calls `TOOL {arguments}` when it is told `call TOOL {arguments}`, and repeats what came of it. A plan that it was
/// given goes before: it makes those calls one after the other, whatever it is told. A call of `say` ends its turn with that text.
#[derive(Default)]
struct Obedient {
    plan: Mutex<VecDeque<(String, serde_json::Value)>>,
    shown: Mutex<String>,
}

impl Provider for Obedient {
    fn stream(&self, request: ModelRequest, _: CancellationToken) -> stream::BoxStream<'static, ModelEvent> {
        let last = request.messages.last().map(|message| message.blocks.clone()).unwrap_or_default();
        self.shown.lock().unwrap().push_str(&format!("{last:?}\n"));
        if let Some((tool, input)) = self.plan.lock().unwrap().pop_front() {
            if tool == "say" {
                let blocks = vec![Block::text(input.as_str().unwrap_or_default())];
                let reply = ModelReply { blocks, stop: StopReason::EndTurn, usage: Usage::default() };
                return Box::pin(stream::iter([ModelEvent::Finished(reply)]));
            }
            let call = Block::ToolUse { id: format!("plan-{}", request.messages.len()), name: tool, input };
            let reply = ModelReply { blocks: vec![call], stop: StopReason::ToolUse, usage: Usage::default() };
            return Box::pin(stream::iter([ModelEvent::Finished(reply)]));
        }
        // Whatever came last counts: an order, or what came of the one before.
        let (mut result, mut call) = (None, None);
        for block in &last {
            match block {
                Block::ToolResult { content, .. } => (result, call) = (Some(content.clone()), None),
                Block::Text { text } => {
                    if let Some(order) = text.find("call ").and_then(|at| text[at + 5..].split_once(' ')) {
                        (result, call) = (None, Some(order));
                    }
                }
                _ => {}
            }
        }
        let (blocks, stop) = match (result, call) {
            (Some(result), _) => (vec![Block::text(result)], StopReason::EndTurn),
            (None, Some((tool, input))) => {
                // Notes of the daemon's own may follow.
                let mut values = serde_json::Deserializer::from_str(input).into_iter();
                let input = values.next().and_then(Result::ok).unwrap_or_default();
                let call =
                    Block::ToolUse { id: format!("call-{}", request.messages.len()), name: tool.to_owned(), input };
                (vec![call], StopReason::ToolUse)
            }
            (None, None) => (vec![Block::text("what?")], StopReason::EndTurn),
        };
        Box::pin(stream::iter([ModelEvent::Finished(ModelReply { blocks, stop, usage: Usage::default() })]))
    }
}

/// The scene. The runtime carries the daemon and the servers.
pub struct Online {
    pub home: TempDir,
    daemon: Option<Daemon>,
    client: Client,
    runtime: Arc<Runtime>,
    model: Arc<Obedient>,
    network: Network,
}

/// A runtime for servers and the daemon.
pub fn runtime() -> Arc<Runtime> {
    Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// A network in which these names have these addresses, addresses set aside for documentation are public ones, and no
/// address is this machine's own.
pub fn played(names: &[(&str, &str)]) -> Network {
    let resolver = names.iter().fold(TableResolver::default(), |table, (name, address)| table.with(name, &[address]));
    let rules = ["203.0.113.0/24", "198.51.100.0/24"]
        .iter()
        .fold(AddressRules::default(), |rules, range| rules.playing_public(range.parse().unwrap()));
    Network {
        resolver: Arc::new(resolver),
        interfaces: Interfaces::Fixed(Vec::new()),
        addresses: Arc::new(rules),
        guarded: Arc::default(),
    }
}

/// This machine's own network, in which the addresses of package registries may lie in ranges set aside for documentation:
/// so do those of the mirrors that some builders use.
pub fn with_mirrors() -> Network {
    Network { resolver: Arc::new(SystemResolver::default()), ..played(&[]) }
}

impl Online {
    /// Starts a daemon with a workspace `online` whose egress settings are `egress` (TOML of that table), in this network and
    /// with these secrets.
    pub fn start(
        runtime: &Arc<Runtime>,
        egress: &str,
        network: Network,
        secrets: &[(&str, &str, SecretSettings)],
    ) -> Self {
        let home = tempfile::Builder::new().prefix("factotum-online-").tempdir().unwrap();
        Self::start_in(runtime, home, egress, network, secrets)
    }

    /// The same in a directory that was made before.
    pub fn start_in(
        runtime: &Arc<Runtime>,
        home: TempDir,
        egress: &str,
        network: Network,
        secrets: &[(&str, &str, SecretSettings)],
    ) -> Self {
        sandbox::Launcher::at(crate::process::binary()).use_for_all();
        let path = home.path().join("home");
        std::fs::create_dir_all(&path).unwrap();
        make_private(&path);
        std::fs::create_dir_all(workspace(home.path())).unwrap();
        std::fs::write(path.join("config.toml"), config(home.path(), egress)).unwrap();
        let vault = Vault::open(&path).unwrap();
        for (name, value, settings) in secrets {
            let name = SecretName::new(*name).unwrap();
            vault.put(&name, SecretValue::new(*value).unwrap(), settings.clone(), Timestamp(0)).unwrap();
        }
        let model = Arc::new(Obedient::default());
        let (daemon, client) = open(runtime, &path, network.clone(), model.clone());
        Self { home, daemon: Some(daemon), client, runtime: runtime.clone(), model, network }
    }

    /// Stops the daemon, and starts another one in the same home.
    pub fn restart(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            self.runtime.block_on(daemon.stop());
        }
        let path = self.home.path().join("home");
        let (daemon, client) = open(&self.runtime, &path, self.network.clone(), self.model.clone());
        (self.daemon, self.client) = (Some(daemon), client);
    }

    /// Starts a job.
    pub fn start_job(&self, spec: serde_json::Value) -> JobId {
        let spec = Box::new(serde_json::from_value(spec).unwrap());
        self.command(&Command::StartJob { spec, id: None }).unwrap();
        self.runtime.block_on(self.client.jobs()).unwrap()[0].id
    }

    /// Starts a job as a recipe makes it.
    pub fn start_recipe(&self, call: serde_json::Value) -> JobId {
        let call = Box::new(serde_json::from_value(call).unwrap());
        match self.command(&Command::StartRecipe { call, id: None }).unwrap() {
            CommandReply::Job { job, .. } => job,
            other => panic!("{other:?}"),
        }
    }

    /// What the model will do next, whatever it is told: calls, and texts that end a turn (`say`).
    pub fn plan(&self, steps: &[(&str, serde_json::Value)]) {
        let steps = steps.iter().map(|(tool, input)| ((*tool).to_owned(), input.clone()));
        self.model.plan.lock().unwrap().extend(steps);
    }

    /// Waits until a job is as it should be.
    pub fn wait_for_job(&self, job: JobId, wanted: impl Fn(&JobView) -> bool) -> JobView {
        let begun = std::time::Instant::now();
        loop {
            let view = self.runtime.block_on(self.client.job(job)).unwrap();
            if wanted(&view) {
                return view;
            }
            if begun.elapsed() > PATIENCE || matches!(view.state, JobState::Ended { .. }) {
                let log = self.runtime.block_on(self.client.job_log(job, Seq(0))).unwrap();
                panic!("{view:#?}\n{:#?}", log.into_iter().map(|one| one.event).collect::<Vec<_>>());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How a job ended, once it has.
    pub fn ended_job(&self, job: JobId) -> (JobView, JobEnd) {
        let view = self.wait_for_job(job, |view| matches!(view.state, JobState::Ended { .. }));
        let JobState::Ended { end } = view.state.clone() else { panic!("{view:#?}") };
        (view, end)
    }

    /// That a key went to a vendor in this header (and behind these words), and nowhere else that a job reaches.
    pub fn kept_the_key(&self, model: &ModelServer, header: (&str, &str), key: &str) {
        let requests = model.requests();
        assert!(!requests.is_empty());
        let sent = format!("{}{key}", header.1);
        assert!(requests.iter().all(|request| request.headers[header.0] == sent));
        assert!(requests.iter().all(|request| !request.contains(key)));
        let jobs = self.home.path().join("home/jobs");
        let found = std::process::Command::new("grep").args(["-rlF", key]).arg(jobs).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the key lies in a job's files");
    }

    /// The open questions.
    pub fn questions(&self) -> Vec<OwnerRequest> {
        self.runtime.block_on(self.client.approvals()).unwrap()
    }

    /// The workspace.
    pub fn workspace(&self) -> PathBuf {
        workspace(self.home.path())
    }

    /// Puts other egress settings in force.
    pub fn reload(&self, egress: &str) {
        std::fs::write(self.home.path().join("home/config.toml"), config(self.home.path(), egress)).unwrap();
        self.runtime.block_on(self.client.command(&Command::Reload { code: None })).unwrap();
    }

    /// Runs a script in the sandbox and gives what the model is shown of it.
    pub fn run(&self, script: &str) -> String {
        self.call("exec", serde_json::json!({ "command": script, "timeout_s": 140 }))
    }

    /// Gives the daemon a command.
    pub fn command(&self, command: &Command) -> Result<CommandReply, Failure> {
        self.runtime.block_on(self.client.command(command))
    }

    /// What there is of coding agents.
    pub fn coders(&self) -> Vec<CoderView> {
        self.runtime.block_on(self.client.coders()).unwrap()
    }

    /// Calls a tool in the main session and gives what the model is shown of it.
    pub fn call(&self, tool: &str, input: serde_json::Value) -> String {
        self.say(None, &format!("call {tool} {input}"))
    }

    /// Says something in a session and gives the final answer.
    pub fn say(&self, session: Option<&str>, text: &str) -> String {
        self.runtime.block_on(async {
            let send = Command::Send {
                text: text.to_owned(),
                session: session.map(str::to_owned),
                workspace: None,
                when_busy: Default::default(),
                id: None,
            };
            let reply = self.client.command(&send).await.unwrap();
            let CommandReply::Accepted { session, since, .. } = reply else { panic!("not accepted: {reply:?}") };
            let mut events = self.client.events(since, Some(session)).await.unwrap();
            let end = async {
                while let Some(envelope) = events.next().await.unwrap() {
                    if let Event::TurnFinished { text, .. } = envelope.event {
                        return text;
                    }
                }
                panic!("the events ended");
            };
            match tokio::time::timeout(PATIENCE, end).await {
                Ok(text) => text,
                Err(_) => panic!("the turn did not end; the owner is asked {:#?}", self.client.approvals().await),
            }
        })
    }

    /// Says something in the main session that the owner must be asked about, gives the questions, and stops the turn.
    pub fn asks(&self, text: &str) -> Vec<OwnerRequest> {
        self.runtime.block_on(async {
            let send = Command::Send {
                text: text.to_owned(),
                session: None,
                workspace: None,
                when_busy: Default::default(),
                id: None,
            };
            self.client.command(&send).await.unwrap();
            let mut asked = Vec::new();
            for _ in 0..1_000 {
                asked = self.client.approvals().await.unwrap();
                if !asked.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.client.command(&Command::Stop { session: None }).await.unwrap();
            while !self.client.approvals().await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            asked
        })
    }

    /// The owner says something innocent, and the model makes these calls of its own accord.
    pub fn misbehave(&self, text: &str, calls: &[(&str, serde_json::Value)]) -> String {
        self.plan(calls);
        self.say(None, text)
    }

    /// Everything that the model was ever shown.
    pub fn shown(&self) -> String {
        self.model.shown.lock().unwrap().clone()
    }

    /// The audit log's records about requests.
    pub fn egress_records(&self) -> Vec<serde_json::Value> {
        let log = self.runtime.block_on(self.client.log(0)).unwrap();
        log.into_iter().filter(|record| record["kind"] == "egress").map(|record| record["detail"].clone()).collect()
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            self.runtime.block_on(daemon.stop());
        }
    }
}

fn open(runtime: &Arc<Runtime>, path: &Path, network: Network, model: Arc<Obedient>) -> (Daemon, Client) {
    let mut options = Options::new(path);
    options.config = Some(Config::load(&path.join("config.toml")).unwrap());
    options.provider = Some(model);
    options.network = Some(network);
    options.self_test = SelfTest::Off;
    runtime.block_on(async {
        let daemon = Daemon::start(options).await.unwrap();
        (daemon, Client::connect(path).await.unwrap())
    })
}

fn workspace(directory: &Path) -> PathBuf {
    directory.join("workspace")
}

fn config(directory: &Path, egress: &str) -> String {
    format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[workspaces.online]\npath = \"{}\"\n{egress}",
        workspace(directory).display()
    )
}

fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// That no supervisor and no sandbox is left.
pub fn nothing_runs_on() {
    let left = std::process::Command::new("pgrep").args(["-fl", "factotum-supervisor|factotum-sandbox"]).output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "", "something runs on");
}
