//! A clock that stands still until it is moved, and the rows that most tests begin with.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use store::{Author, MessageKind, NewInbox, NewMessage, NewSession, NewTurn, Store, StoreError};
use tempfile::TempDir;
use types::{
    Block, ChannelId, Clock, InboxId, Label, Origin, Role, SessionId, Timestamp, TurnId, WhenBusy, WorkspaceName,
};

pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// 2026-11-21, noon.
pub const NOON: i64 = 1_795_262_400_000;

#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOON)))
    }

    pub fn set(&self, at: i64) {
        self.0.store(at, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A store in memory and its clock.
pub fn store() -> Result<(Store, TestClock), StoreError> {
    let clock = TestClock::new();
    Ok((Store::in_memory(Arc::new(clock.clone()))?, clock))
}

/// A store on disk.
pub fn store_in(home: &TempDir) -> Result<Store, StoreError> {
    Store::open(home.path(), Arc::new(TestClock::new()))
}

pub fn workspace() -> WorkspaceName {
    WorkspaceName::new("toys").expect("it is a good name")
}

pub fn telegram() -> ChannelId {
    ChannelId::new("telegram", "home")
}

pub fn new_session(key: Option<&str>) -> NewSession {
    NewSession { key: key.map(str::to_owned), title: "toys".to_owned(), workspace: workspace() }
}

pub fn new_inbox(session: SessionId, remote_id: &str, text: &str) -> NewInbox {
    NewInbox {
        channel: telegram(),
        remote_id: remote_id.to_owned(),
        session,
        text: text.to_owned(),
        reply_to: Some("42".to_owned()),
        when_busy: WhenBusy::Steer,
        origin: Origin::Owner,
    }
}

pub fn new_turn(session: SessionId, inbox: Vec<InboxId>) -> NewTurn {
    NewTurn {
        session,
        origin: Origin::Owner,
        model: "lab/model-1".to_owned(),
        inbox,
        reply_channel: telegram(),
        reply_to: Some("42".to_owned()),
    }
}

pub fn new_message(session: SessionId, text: &str) -> NewMessage {
    NewMessage {
        session,
        turn: None,
        role: Role::User,
        blocks: vec![Block::text(text)],
        author: Author::Owner,
        label: Label::CLEAN,
        kind: MessageKind::Normal,
    }
}

/// A session with a running turn that answers one message.
pub async fn running_turn(store: &Store) -> Result<(SessionId, TurnId), StoreError> {
    store
        .transact(|tx| {
            let session = tx.create_session(new_session(None))?;
            let inbox = tx.receive(new_inbox(session, &format!("first-of-{session}"), "hello"))?.id;
            Ok((session, tx.begin_turn(new_turn(session, vec![inbox]))?))
        })
        .await
}
