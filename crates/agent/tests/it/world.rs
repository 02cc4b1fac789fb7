//! Everything around a turn.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use agent::{Begun, Deps, Model, Models, RulesInForce, Settings};
use policy::{Redactor, budget::Limits};
use serde_json::Value;
use store::{CallState, NewInbox, NewSession, NewTurn, SpendScope, Store};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use types::{
    Answer, ChannelId, Clock, Envelope, Event, InboxId, Message, MicroUsd, Origin, Prices, RequestId, SecretName, Seq,
    SessionId, Timestamp, ToolEnd, TurnEnd, TurnId, WhenBusy, WorkspaceName,
};

use crate::{
    model::{Reply, Script},
    tools::{Runs, toolbox},
};

/// A clock that the test moves.
#[derive(Default)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    pub fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_255_347_000 + self.0.load(Ordering::SeqCst))
    }
}

/// A store, a model, tools and a session.
pub struct World {
    pub deps: Deps,
    pub clock: Arc<FixedClock>,
    pub session: SessionId,
    pub runs: Runs,
    pub saved: Arc<Mutex<u32>>,
    /// The state of the workspace's files.
    pub state: Arc<Mutex<String>>,
    pub requests: Arc<Mutex<Vec<types::ModelRequest>>>,
    events: broadcast::Receiver<Envelope>,
    messages: i64,
}

pub fn settings() -> Settings {
    Settings {
        limits: Limits { task: None, day: None, month: None, steps: 20, tokens: None, wall: None },
        reader_bits: 64,
        alarms: policy::alarm::Rules::OFF,
        approval_timeout: Duration::from_secs(60),
        // Short and fixed, so that no estimate in a snapshot depends on the real prompt.
        system: "You are under test.".into(),
    }
}

/// A model of the provider `lab` that follows a script.
pub fn model(script: Script) -> Model {
    Model {
        name: "lab/model-1".to_owned(),
        id: "model-1".to_owned(),
        provider: Arc::new(script),
        prices: Some(Prices::new(1.0, 10.0)),
        context_tokens: 100_000,
        max_output_tokens: 1_000,
        thinking_tokens: None,
        is_weak: false,
    }
}

fn redactor() -> Arc<Redactor> {
    let name = SecretName::new("pass").unwrap();
    Arc::new(Redactor::new([(name, "hunter22".to_owned())]))
}

impl World {
    pub async fn new(script: Vec<Reply>) -> Self {
        Self::with(Script::list(script)).await
    }

    pub async fn with(script: Script) -> Self {
        let clock = Arc::new(FixedClock::default());
        let store = Store::in_memory(clock.clone()).unwrap();
        let session = store
            .transact(|tx| {
                tx.create_session(NewSession {
                    key: Some("main".to_owned()),
                    title: "Main".to_owned(),
                    workspace: WorkspaceName::new("work").unwrap(),
                })
            })
            .await
            .unwrap();
        let (runs, saved) = (Runs::default(), Arc::new(Mutex::new(0)));
        let requests = script.seen.clone();
        let counter = saved.clone();
        let state = Arc::new(Mutex::new("state 1".to_owned()));
        let files = state.clone();
        let events = store.subscribe();
        let masked = redactor();
        let deps = Deps {
            models: Models::one(model(script)),
            tools: toolbox(&runs),
            rules: RulesInForce::default(),
            redactor: Arc::new(move || masked.clone()),
            seen: Arc::new(|_| Box::pin(async {})),
            clock: clock.clone(),
            settings: settings(),
            before_write: Arc::new(move |_, _| {
                *counter.lock().unwrap() += 1;
                Box::pin(async { Ok(()) })
            }),
            ready: Arc::new(|| Ok(())),
            workspace_state: Arc::new(move |_, _| {
                let state = files.lock().unwrap().clone();
                Box::pin(async move { Ok(state) })
            }),
            sent: Arc::new(|_| 0),
            begun: Begun::default(),
            store,
        };
        Self { deps, clock, session, runs, saved, state, requests, events, messages: 0 }
    }

    /// Changes the model.
    pub fn change_model(&mut self, change: impl FnOnce(&mut Model)) {
        let mut model = Model::clone(self.deps.models.first());
        change(&mut model);
        self.deps.models = Models::one(model);
    }

    /// The same world after a restart of the daemon.
    pub fn restart(&mut self) {
        self.deps.begun = Begun::default();
    }

    pub async fn receive(&mut self, text: &str) -> InboxId {
        self.receive_as(text, WhenBusy::Steer, Origin::Owner).await
    }

    pub async fn receive_as(&mut self, text: &str, when_busy: WhenBusy, origin: Origin) -> InboxId {
        self.messages += 1;
        let new = NewInbox {
            channel: ChannelId::api(),
            remote_id: self.messages.to_string(),
            session: self.session,
            text: text.to_owned(),
            reply_to: None,
            when_busy,
            origin,
        };
        self.deps.store.transact(move |tx| tx.receive(new)).await.unwrap().id
    }

    pub fn new_turn(&self, inbox: Vec<InboxId>, origin: Origin) -> NewTurn {
        NewTurn {
            session: self.session,
            origin,
            model: "lab/model-1".to_owned(),
            inbox,
            reply_channel: ChannelId::api(),
            reply_to: None,
        }
    }

    pub async fn begin(&mut self, text: &str) -> TurnId {
        self.begin_as(text, Origin::Owner).await
    }

    pub async fn begin_as(&mut self, text: &str, origin: Origin) -> TurnId {
        let inbox = self.receive_as(text, WhenBusy::Steer, origin).await;
        agent::begin(&self.deps, self.new_turn(vec![inbox], origin)).await.unwrap()
    }

    /// Runs a turn from a message to its end.
    pub async fn say(&mut self, text: &str) -> TurnEnd {
        let turn = self.begin(text).await;
        self.run(turn).await
    }

    pub async fn run(&self, turn: TurnId) -> TurnEnd {
        agent::run_turn(&self.deps, turn, CancellationToken::new()).await
    }

    /// All events since the last time, ephemeral ones marked with `~`.
    pub fn transcript(&mut self) -> String {
        let mut lines = Vec::new();
        while let Ok(envelope) = self.events.try_recv() {
            let mark = if envelope.seq.is_some() { " " } else { "~" };
            lines.push(format!("{mark} {}", short(&envelope.event)));
        }
        lines.join("\n")
    }

    /// All that the model was given in its last request, one block to a line.
    pub fn last_request(&self) -> String {
        let requests = self.requests.lock().unwrap();
        shown(&requests.last().unwrap().messages)
    }

    pub fn events(&self) -> Vec<Event> {
        let events = self.deps.store.events_after(Seq(0), None, 10_000).unwrap();
        events.into_iter().map(|envelope| envelope.event).collect()
    }

    /// The text that the turn ended with.
    pub fn text(&self, turn: TurnId) -> String {
        self.deps.store.turn(turn).unwrap().unwrap().text
    }

    pub fn last_text(&self) -> String {
        self.deps.store.turns(self.session, 1).unwrap()[0].text.clone()
    }

    pub fn ends(&self, turn: TurnId) -> Vec<(String, ToolEnd)> {
        let calls = self.deps.store.calls(turn).unwrap();
        calls
            .into_iter()
            .filter_map(|record| match record.state {
                CallState::Finished(end) => Some((record.call.id, end)),
                CallState::Planned | CallState::Started => None,
            })
            .collect()
    }

    pub fn runs(&self) -> Vec<String> {
        self.runs.lock().unwrap().clone()
    }

    pub fn spent(&self, turn: TurnId) -> store::Spend {
        self.deps.store.spent(SpendScope::Turn(turn)).unwrap()
    }

    pub fn reserved(&self, turn: TurnId) -> MicroUsd {
        self.spent(turn).reserved
    }

    pub async fn answer(&self, request: RequestId, answer: Answer) -> bool {
        self.deps.store.transact(move |tx| tx.answer(request, answer, Some(ChannelId::api()))).await.unwrap()
    }

    /// Waits until an event that fits is published.
    pub async fn wait_for(receiver: &mut broadcast::Receiver<Envelope>, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            let envelope = receiver.recv().await.unwrap();
            if fits(&envelope.event) {
                return envelope.event;
            }
        }
    }

    /// Runs a turn while `meanwhile` goes on beside it.
    pub async fn run_with<T>(
        &self,
        turn: TurnId,
        cancel: CancellationToken,
        meanwhile: impl Future<Output = T>,
    ) -> (TurnEnd, T) {
        tokio::join!(agent::run_turn(&self.deps, turn, cancel), meanwhile)
    }
}

/// An event in one line of JSON, without what every other test repeats.
fn short(event: &Event) -> String {
    let mut value = serde_json::to_value(event).unwrap();
    if let Value::Object(fields) = &mut value {
        let kind = fields.remove("type").unwrap();
        if let Some(Value::Object(request)) = fields.get_mut("request") {
            request.remove("asked_at");
            request.remove("expires_at");
        }
        return format!("{} {}", kind.as_str().unwrap(), Value::Object(fields.clone()));
    }
    value.to_string()
}

pub fn shown(messages: &[Message]) -> String {
    let mut lines = Vec::new();
    for message in messages {
        for block in &message.blocks {
            lines.push(format!("{:?} {}", message.role, serde_json::to_string(block).unwrap()));
        }
    }
    lines.join("\n")
}

/// Runs a future to its end and counts how often it had to wait.
pub async fn waits<T>(future: impl Future<Output = T>) -> (T, u32) {
    let mut future = std::pin::pin!(future);
    let mut count = 0;
    let done = std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        count += u32::from(polled.is_pending());
        polled
    })
    .await;
    (done, count)
}

/// Runs a future until it has waited `most` times, then drops it as a crash would. None if it was dropped.
pub async fn dropped_after<T>(future: impl Future<Output = T>, most: u32) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut count = 0;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        std::task::Poll::Pending if count == most => std::task::Poll::Ready(None),
        std::task::Poll::Pending => {
            count += 1;
            std::task::Poll::Pending
        }
    })
    .await
}
