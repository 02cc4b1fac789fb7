//! A session with a workspace of its own, and calls that go the whole way: assess, decide, run.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use policy::{Decision, Grant, Request, Rules, decide, redeem};
use sandbox::{Pool, SandboxConfig, Workspace};
use serde_json::Value;
use store::{NewSession, NewTurn, Store};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{
    Answer, ChannelId, Clock, Label, Origin, SessionId, Timestamp, Tool, ToolContext, ToolOutput, TurnId, WorkspaceName,
};

pub(crate) struct FixedClock(pub AtomicI64);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) struct Bench {
    pub home: TempDir,
    pub workspace: Workspace,
    pub store: Store,
    pub pool: Arc<Pool>,
    pub clock: Arc<FixedClock>,
    pub tools: Vec<Arc<dyn Tool<Grant>>>,
    pub context: ToolContext,
    pub progress: mpsc::Receiver<String>,
}

pub(crate) fn workspace_name() -> WorkspaceName {
    WorkspaceName::new("work").expect("it is a plain name")
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().expect("the machine has a temporary directory");
        let inside = home.path().join("work");
        let agent_home = home.path().join("home");
        for directory in [&inside, &agent_home] {
            fs::create_dir(directory).expect("it is ours");
        }
        // 2026-01-02 03:04:05 UTC.
        let clock = Arc::new(FixedClock(AtomicI64::new(1_767_323_045_000)));
        let store = Store::in_memory(Arc::clone(&clock) as Arc<dyn Clock>).expect("it needs nothing");
        let pool = Arc::new(Pool::new(SandboxConfig::default(), &agent_home));
        let workspace = Workspace::open(workspace_name(), &inside).expect("it is a directory");
        let known = workspace.clone();
        let workspaces = move |_, name: &WorkspaceName| (*name == known.name).then(|| known.clone());
        let tools = tools::builtin(
            store.clone(),
            Arc::clone(&pool),
            Arc::new(workspaces),
            Arc::new(|_, _| Err("there is no network here".to_owned())),
        );
        let (session, turn) = begin(&store).await;
        let (sender, progress) = mpsc::channel(64);
        let context = ToolContext {
            session,
            turn,
            call: "call-1".to_owned(),
            workspace: workspace_name(),
            label: Label::OWNER,
            cancel: CancellationToken::new(),
            progress: sender,
        };
        Self { home, workspace, store, pool, clock, tools, context, progress }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.home.path().join("work").join(inside)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("it is ours");
        fs::write(path, text).expect("it is ours");
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("it is there")
    }

    pub(crate) fn tool(&self, name: &str) -> &dyn Tool<Grant> {
        self.tools.iter().find(|tool| tool.spec().name == name).expect("it is one of the tools").as_ref()
    }

    /// Calls a tool as the gate does, the owner approving what is asked.
    pub(crate) async fn call(&self, name: &str, input: Value) -> ToolOutput {
        let tool = self.tool(name);
        let effect = match tool.assess(&input) {
            Ok(effect) => effect,
            Err(error) => return ToolOutput::error(error.0),
        };
        let request = Request {
            tool: name,
            input: &input,
            effect: &effect,
            label: self.context.label,
            origin: Origin::Owner,
            session: self.context.session,
            turn: self.context.turn,
            workspace: &self.context.workspace,
            workspace_state: None,
            destinations_are_owners: false,
            touched: 0,
        };
        let rules = Rules::default();
        let grant = match decide(&request, &rules) {
            Decision::Allow(grant) => grant,
            Decision::Ask(question) | Decision::Propose(question) => {
                redeem(&question, &Answer::ONCE, &request, &rules).expect("nothing changed")
            }
            Decision::Deny(reason) => return ToolOutput::error(reason.0),
        };
        tool.run(&grant, &input, &self.context).await
    }
}

async fn begin(store: &Store) -> (SessionId, TurnId) {
    let begun = store.transact(|tx| {
        let session =
            tx.create_session(NewSession { key: None, title: "test".to_owned(), workspace: workspace_name() })?;
        let turn = tx.begin_turn(NewTurn {
            session,
            origin: Origin::Owner,
            model: "lab/model".to_owned(),
            inbox: Vec::new(),
            reply_channel: ChannelId::api(),
            reply_to: None,
        })?;
        Ok((session, turn))
    });
    begun.await.expect("the store is new")
}
