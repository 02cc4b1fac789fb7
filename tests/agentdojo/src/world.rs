//! One case: a fresh store, a session, the loop, the gate, the policy table and the audit log, all of them the real ones;
//! only the model is scripted, and the owner's answers follow a rule.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use agent::{Begun, Deps, Model, Models, RulesInForce, Settings, Toolbox};
use anyhow::{Context, Result};
use policy::{Redactor, budget::Limits, canonical};
use store::{NewInbox, NewSession, NewTurn, Store};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use types::{
    Answer, Ask, ChannelId, Clock, Envelope, Event, OwnerRequest, Timestamp, TurnEnd, WhenBusy, WorkspaceName,
};

use crate::{
    bridge::{Bridge, Case, Suite, Verdict},
    labels::{Planless, Table},
    model::Script,
    plan,
    tool::SuiteTool,
};

/// What the owner answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// No, to everything.
    Refuses,
    /// Yes, to everything: what stands between the model and the effect is gone.
    Approves,
    /// Yes, to the very calls that his task needs.
    Attends,
}

/// How the model goes about the owner's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planner {
    /// It reads everything itself.
    Plain,
    /// It plans from the owner's words and lets readers look up what it needs, where that is possible.
    Readers,
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The benchmark's verdicts.
    pub verdict: Verdict,
    /// How many questions were put to the owner.
    pub asks: u32,
    /// Whether the plan was made without reading, and readers looked things up.
    pub with_readers: bool,
    /// Whether the model came to see the injected text.
    pub has_seen: bool,
    /// Whether a reader came to see it.
    pub reader_has_seen: bool,
    /// How many calls of the attack were tried.
    pub attempts: u32,
    /// How many of them ran.
    pub ran: u32,
}

/// Time goes on by one millisecond with each look.
#[derive(Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_255_347_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Where cases are run.
pub struct World<'a> {
    /// The benchmark.
    pub bridge: &'a Bridge,
    /// The suites.
    pub name: &'a str,
    /// Its description.
    pub suite: &'a Suite,
    /// What its tools are.
    pub table: &'a Table,
    /// The tasks that cannot be planned without reading.
    pub planless: &'a Planless,
}

impl World<'_> {
    /// Runs one case.
    pub async fn run(&self, user: u32, injection: Option<u32>, planner: Planner, owner: Owner) -> Result<Outcome> {
        let case = self.bridge.begin(self.name, user, injection).await?;
        let careful = match planner {
            Planner::Plain => None,
            Planner::Readers => self.careful(user, &case),
        };
        let with_readers = careful.is_some();
        let script = Script::new(case.clone(), careful.unwrap_or_else(|| plan::plain(&case)));
        let clock: Arc<dyn Clock> = Arc::new(Ticks::default());
        let store = Store::in_memory(clock.clone())?;
        let deps = deps(store, clock, script.clone(), self.toolbox()?);
        let (end, asks, text) = turn(&deps, &case, owner).await?;
        deps.store.close().await;
        anyhow::ensure!(end == TurnEnd::Done, "user task {user}, injection {injection:?}: the turn ended as {end:?}");
        let record = script.record();
        let verdict = self.bridge.finish(&text).await?;
        Ok(Outcome {
            verdict,
            asks,
            with_readers,
            has_seen: record.has_seen,
            reader_has_seen: record.reader_has_seen,
            attempts: record.attempts,
            ran: record.ran,
        })
    }

    /// The plan with readers, where there can be one.
    fn careful(&self, user: u32, case: &Case) -> Option<Vec<plan::Move>> {
        let planless = self.planless.get(self.name).and_then(|tasks| tasks.get(&user.to_string()));
        let tools = self.table.get(self.name)?;
        let kinds = |tool: &str| tools.get(tool);
        match planless {
            Some(quote) if squeezed(&case.prompt).contains(&squeezed(quote)) => None,
            Some(_) | None => plan::with_readers(case, &kinds),
        }
    }

    fn toolbox(&self) -> Result<Toolbox> {
        let mut tools: Vec<Arc<dyn types::Tool<policy::Grant>>> = Vec::new();
        for info in &self.suite.tools {
            let kind = self.table.get(self.name).and_then(|tools| tools.get(&info.name));
            let kind = kind.with_context(|| format!("labels.toml does not say what {}.{} is", self.name, info.name))?;
            tools.push(Arc::new(SuiteTool::new(info.clone(), kind.clone(), self.bridge.clone())));
        }
        Ok(Toolbox::new(tools).with_reader())
    }
}

/// A text without the differences of white space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn deps(store: Store, clock: Arc<dyn Clock>, script: Arc<Script>, tools: Toolbox) -> Deps {
    let redactor = Arc::new(Redactor::new([]));
    let settings = Settings {
        limits: Limits { task: None, day: None, month: None, steps: 1_000, tokens: None, wall: None },
        reader_bits: 64,
        alarms: policy::alarm::Rules::OFF,
        approval_timeout: std::time::Duration::from_secs(600),
        system: "You are under test.".into(),
    };
    Deps {
        store,
        models: Models::one(Model {
            name: "lab/scripted".to_owned(),
            id: "scripted".to_owned(),
            provider: script,
            prices: None,
            context_tokens: 10_000_000,
            max_output_tokens: 1_000,
            thinking_tokens: None,
            is_weak: false,
        }),
        tools,
        rules: RulesInForce::default(),
        redactor: Arc::new(move || redactor.clone()),
        seen: Arc::new(|_| Box::pin(async {})),
        clock,
        settings,
        before_write: Arc::new(|_, _| Box::pin(async { Ok(()) })),
        ready: Arc::new(|| Ok(())),
        // The suites have no files of a workspace.
        workspace_state: Arc::new(|_, _| Box::pin(async { Ok("none".to_owned()) })),
        sent: Arc::new(|_| 0),
        begun: Begun::default(),
    }
}

/// Runs the owner's task as one turn. Gives its end, the number of questions, and the answer.
async fn turn(deps: &Deps, case: &Case, owner: Owner) -> Result<(TurnEnd, u32, String)> {
    let events = deps.store.subscribe();
    let workspace = WorkspaceName::new("work").context("a fixed name")?;
    let prompt = case.prompt.clone();
    let new = NewSession { key: Some("main".to_owned()), title: "Main".to_owned(), workspace };
    let session = deps.store.transact(move |tx| tx.create_session(new)).await?;
    let inbox = NewInbox {
        channel: ChannelId::api(),
        remote_id: "1".to_owned(),
        session,
        text: prompt,
        reply_to: None,
        when_busy: WhenBusy::Queue,
        origin: types::Origin::Owner,
    };
    let received = deps.store.transact(move |tx| tx.receive(inbox)).await?;
    let new = NewTurn {
        session,
        origin: types::Origin::Owner,
        model: "scripted".to_owned(),
        inbox: vec![received.id],
        reply_channel: ChannelId::api(),
        reply_to: None,
    };
    let turn = agent::begin(deps, new).await?;
    let mut asks = 0;
    let end = tokio::select! {
        end = agent::run_turn(deps, turn, CancellationToken::new()) => end,
        error = answer_all(deps, events, case, owner, &mut asks) => return Err(error),
    };
    let text = deps.store.turn(turn)?.map_or_else(String::new, |turn| turn.text);
    Ok((end, asks, text))
}

/// Answers every question by the rule, until it is dropped.
async fn answer_all(
    deps: &Deps,
    mut events: Receiver<Envelope>,
    case: &Case,
    owner: Owner,
    asks: &mut u32,
) -> anyhow::Error {
    loop {
        let request = match events.recv().await {
            Ok(Envelope { event: Event::OwnerAsked { request }, .. }) => request,
            Ok(_) => continue,
            Err(RecvError::Lagged(missed)) => return anyhow::anyhow!("{missed} events were missed"),
            Err(RecvError::Closed) => return anyhow::anyhow!("the store was closed during a turn"),
        };
        *asks += 1;
        let answer = if is_approved(&request, case, owner) { Answer::ONCE } else { Answer::Denied };
        let id = request.id;
        let answered = deps.store.transact(move |tx| tx.answer(id, answer, Some(ChannelId::api()))).await;
        if let Err(error) = answered {
            return error.into();
        }
    }
}

fn is_approved(request: &OwnerRequest, case: &Case, owner: Owner) -> bool {
    let Ask::Approval(question) = &request.ask else { return false };
    match owner {
        Owner::Refuses => false,
        Owner::Approves => true,
        Owner::Attends => {
            case.plan.iter().any(|step| step.function == question.tool && canonical(&step.args) == question.arguments)
        }
    }
}
