//! A small workload for the crash test: one turn with a tool call, an approval and a delivery. Each step is found from
//! the durable state, so that the program can be killed at any commit and run again. It prints a line for each step that
//! the store has confirmed.
//!
//! Usage: `store-crash HOME`.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use store::{
    Author, CallState, DeliveryBody, MessageKind, NewCall, NewDelivery, NewInbox, NewMessage, NewRequest, NewSession,
    NewTurn, OutboxState, Store, StoreError, TurnState, audit,
};
use types::{
    Answer, Ask, Block, ChannelId, Clock, Label, MicroUsd, Origin, OutboxId, Role, SessionId, Timestamp, ToolCall,
    ToolEnd, ToolOutput, TurnEnd, TurnId, Usage, WhenBusy, WorkspaceName,
};

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this program has no daemon that could give it a clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(home) = std::env::args_os().nth(1) else { return ExitCode::from(2) };
    match work(Path::new(&home)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the test that a step is durable.
fn say(step: &str) {
    let mut out = io::stdout();
    // A test that does not listen any more fails by itself.
    let _ = writeln!(out, "{step}").and_then(|()| out.flush());
}

async fn work(home: &Path) -> Result<(), StoreError> {
    let store = Store::open(home, Arc::new(SystemClock))?;
    let session = session(&store).await?;
    receive(&store, session).await?;
    let turn = begin(&store, session).await?;
    if store.turn(turn)?.is_some_and(|turn| turn.state == TurnState::Running) {
        ask_model(&store, session, turn).await?;
        call(&store, session, turn).await?;
        finish(&store, turn).await?;
    }
    send(&store, turn).await?;
    store.close().await;
    Ok(())
}

async fn session(store: &Store) -> Result<SessionId, StoreError> {
    if let Some(session) = store.session_by_key("main")? {
        return Ok(session.id);
    }
    let workspace = WorkspaceName::new("toys")?;
    let new = NewSession { key: Some("main".to_owned()), title: "toys".to_owned(), workspace };
    let id = store.transact(|tx| tx.create_session(new)).await?;
    say("session");
    Ok(id)
}

async fn receive(store: &Store, session: SessionId) -> Result<(), StoreError> {
    let new = NewInbox {
        channel: ChannelId::new("telegram", "home"),
        remote_id: "update-1".to_owned(),
        session,
        text: "mend the toys".to_owned(),
        reply_to: Some("42".to_owned()),
        when_busy: WhenBusy::Steer,
        origin: Origin::Owner,
    };
    store.transact(|tx| tx.receive(new)).await?;
    say("receive");
    Ok(())
}

async fn begin(store: &Store, session: SessionId) -> Result<TurnId, StoreError> {
    if let Some(turn) = store.turns(session, 1)?.first() {
        return Ok(turn.id);
    }
    let waiting = store.waiting_inbox(session)?;
    let new = NewTurn {
        session,
        origin: Origin::Owner,
        model: "lab/model-1".to_owned(),
        inbox: waiting.iter().map(|row| row.id).collect(),
        reply_channel: ChannelId::new("telegram", "home"),
        reply_to: Some("42".to_owned()),
    };
    let turn = store
        .transact(move |tx| {
            let turn = tx.begin_turn(new)?;
            for row in waiting {
                tx.append_message(message(session, turn, Role::User, Author::Owner, Block::text(row.text)))?;
            }
            tx.reserve(turn, 1, MicroUsd(100))?;
            Ok(turn)
        })
        .await?;
    say("begin");
    Ok(turn)
}

fn message(session: SessionId, turn: TurnId, role: Role, author: Author, block: Block) -> NewMessage {
    let (turn, blocks) = (Some(turn), vec![block]);
    NewMessage { session, turn, role, blocks, author, label: Label::OWNER, kind: MessageKind::Normal }
}

async fn ask_model(store: &Store, session: SessionId, turn: TurnId) -> Result<(), StoreError> {
    if !store.calls(turn)?.is_empty() {
        return Ok(());
    }
    let call =
        ToolCall { id: "call-1".to_owned(), name: "exec".to_owned(), input: serde_json::json!({"command": "mend"}) };
    let block = Block::ToolUse { id: call.id.clone(), name: call.name.clone(), input: call.input.clone() };
    let usage = Usage { input: 10, output: 5, ..Usage::default() };
    store
        .transact(move |tx| {
            tx.settle(turn, 1, usage, Some(MicroUsd(70)))?;
            tx.append_message(message(session, turn, Role::Assistant, Author::Model, block))?;
            tx.plan_call(NewCall { turn, step: 1, call })
        })
        .await?;
    say("plan");
    Ok(())
}

async fn call(store: &Store, session: SessionId, turn: TurnId) -> Result<(), StoreError> {
    let state = store.calls(turn)?.first().map(|call| call.state);
    if let Some(CallState::Finished(_)) = state {
        return Ok(());
    }
    approve(store, session, turn).await?;
    let output = if state == Some(CallState::Started) {
        (ToolEnd::Unknown, ToolOutput::error("nobody knows"))
    } else {
        let intent = audit::AuditEntry {
            session: Some(session),
            turn: Some(turn),
            call: Some("call-1".to_owned()),
            kind: audit::AuditKind::ToolIntent,
            detail: serde_json::json!({"command": "mend"}),
        };
        store.audit().append(intent).await?;
        store.transact(move |tx| tx.start_call(turn, "call-1", "exec: mend", false)).await?;
        say("start");
        (ToolEnd::Ok, ToolOutput::ok("mended", Label::OWNER))
    };
    let (end, output) = output;
    let result = Block::ToolResult { call: "call-1".to_owned(), content: output.text.clone(), is_error: false };
    store
        .transact(move |tx| {
            tx.finish_call(turn, "call-1", end, output)?;
            tx.append_message(message(session, turn, Role::User, Author::Tool, result))?;
            Ok(())
        })
        .await?;
    say("finish-call");
    Ok(())
}

async fn approve(store: &Store, session: SessionId, turn: TurnId) -> Result<(), StoreError> {
    let request = match store.request_for_call(turn, "call-1")? {
        Some(request) => request,
        None => {
            let ask = Ask::Question { text: "May I?".to_owned(), options: Vec::new() };
            let expires_at = Timestamp(i64::MAX);
            let new = NewRequest { session, turn, call: "call-1".to_owned(), ask, expires_at };
            let request = store.transact(|tx| tx.ask_owner(new)).await?;
            say("ask");
            request
        }
    };
    if request.answer.is_none() {
        store.transact(move |tx| tx.answer(request.id, Answer::ONCE, Some(ChannelId::api()))).await?;
        say("answer");
    }
    if store.transact(move |tx| tx.use_approval(request.id)).await? {
        say("use");
    }
    Ok(())
}

async fn finish(store: &Store, turn: TurnId) -> Result<(), StoreError> {
    store.transact(move |tx| tx.finish_turn(turn, TurnEnd::Done, "The toys are mended.".to_owned())).await?;
    say("finish");
    Ok(())
}

async fn send(store: &Store, turn: TurnId) -> Result<(), StoreError> {
    if let Some(turn) = store.undelivered_turns()?.into_iter().find(|row| row.id == turn) {
        let delivery = NewDelivery {
            session: Some(turn.session),
            turn: Some(turn.id),
            channel: turn.reply_channel,
            target: turn.reply_to.unwrap_or_default(),
            body: DeliveryBody::Text { markdown: turn.text },
            key: format!("turn:{}:0", turn.id),
        };
        let id = turn.id;
        store
            .transact(move |tx| {
                tx.deliver(delivery)?;
                tx.mark_turn_delivered(id)
            })
            .await?;
        say("deliver");
    }
    for row in store.due_outbox(Timestamp(i64::MAX), 10)? {
        let id: OutboxId = row.id;
        if row.state == OutboxState::Pending {
            store.transact(move |tx| tx.outbox_sending(id)).await?;
            say("sending");
        }
        say("wire");
        store::fault_point("sent");
        store.transact(move |tx| tx.outbox_sent(id, "remote-1")).await?;
        say("sent");
    }
    Ok(())
}
