//! Random sequences of operations against the plainest model of an inbox, its turns and its requests.

use std::collections::HashMap;

use proptest::prelude::{Strategy, prop, prop_oneof};
use store::{NewRequest, Store, TurnState};
use types::{Answer, Ask, InboxId, Label, RequestId, SessionId, Timestamp, TurnEnd, TurnId};

use crate::fixture::{TestResult, new_inbox, new_session, new_turn, store};

#[derive(Clone, Copy, Debug)]
enum Op {
    Receive(usize, u8),
    Begin(usize),
    Finish(usize),
    Ask(usize),
    Answer(usize, bool),
    Use(usize),
    Raise(usize, bool, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..2_usize, 0..12_u8).prop_map(|(session, remote)| Op::Receive(session, remote)),
        (0..2_usize).prop_map(Op::Begin),
        (0..4_usize).prop_map(Op::Finish),
        (0..4_usize).prop_map(Op::Ask),
        (0..4_usize, proptest::bool::ANY).prop_map(|(request, yes)| Op::Answer(request, yes)),
        (0..4_usize).prop_map(Op::Use),
        (0..2_usize, proptest::bool::ANY, proptest::bool::ANY).prop_map(|(session, a, b)| Op::Raise(session, a, b)),
    ];
    prop::collection::vec(op, 1..60)
}

#[derive(Default)]
struct Model {
    sessions: Vec<SessionId>,
    labels: HashMap<SessionId, Label>,
    remotes: HashMap<u8, InboxId>,
    waiting: HashMap<SessionId, Vec<InboxId>>,
    turns: Vec<(TurnId, SessionId, bool)>,
    requests: Vec<(RequestId, Option<Answer>, bool)>,
}

async fn step(store: &Store, model: &mut Model, op: Op) -> TestResult {
    match op {
        Op::Receive(session, remote) => {
            let session = model.sessions[session];
            let row = new_inbox(session, &remote.to_string(), "x");
            let received = store.transact(|tx| tx.receive(row)).await?;
            assert_eq!(received.duplicate, model.remotes.contains_key(&remote));
            assert_eq!(*model.remotes.entry(remote).or_insert(received.id), received.id);
            if !received.duplicate {
                model.waiting.entry(session).or_default().push(received.id);
            }
        }
        Op::Begin(session) => {
            let session = model.sessions[session];
            let inbox = model.waiting.remove(&session).unwrap_or_default();
            let new = new_turn(session, inbox);
            let turn = store.transact(|tx| tx.begin_turn(new)).await?;
            model.turns.push((turn, session, true));
        }
        Op::Finish(turn) => {
            let Some((id, _, running)) = model.turns.get_mut(turn) else { return Ok(()) };
            let id = *id;
            let ended = store.transact(move |tx| tx.finish_turn(id, TurnEnd::Done, String::new())).await?;
            assert_eq!(ended, std::mem::replace(running, false));
        }
        Op::Ask(turn) => {
            let Some((turn, session, _)) = model.turns.get(turn).copied() else { return Ok(()) };
            let ask = Ask::Question { text: "?".to_owned(), options: vec![] };
            let new = NewRequest { session, turn, call: "c".to_owned(), ask, expires_at: Timestamp(i64::MAX) };
            let request = store.transact(|tx| tx.ask_owner(new)).await?;
            model.requests.push((request.id, None, false));
        }
        Op::Answer(request, yes) => {
            let Some((id, answer, _)) = model.requests.get_mut(request) else { return Ok(()) };
            let (id, given) = (*id, if yes { Answer::ONCE } else { Answer::Denied });
            let recorded = given.clone();
            let won = store.transact(move |tx| tx.answer(id, recorded, None)).await?;
            assert_eq!(won, answer.is_none());
            answer.get_or_insert(given);
        }
        Op::Use(request) => {
            let Some((id, answer, used)) = model.requests.get_mut(request) else { return Ok(()) };
            let id = *id;
            let may = *answer == Some(Answer::ONCE) && !*used;
            assert_eq!(store.transact(move |tx| tx.use_approval(id)).await?, may);
            *used |= may;
        }
        Op::Raise(session, foreign, private) => {
            let session = model.sessions[session];
            let first = if foreign { Label::FOREIGN } else { Label::CLEAN };
            let label = first.join(if private { Label::OWNER } else { Label::CLEAN });
            let joined = store.transact(move |tx| tx.raise_label(session, label, "x")).await?;
            let known = model.labels.entry(session).or_insert(Label::CLEAN);
            *known = known.join(label);
            assert_eq!(joined, *known);
        }
    }
    Ok(())
}

fn compare(store: &Store, model: &Model) -> TestResult {
    for session in &model.sessions {
        let waiting: Vec<InboxId> = store.waiting_inbox(*session)?.iter().map(|row| row.id).collect();
        assert_eq!(waiting, model.waiting.get(session).cloned().unwrap_or_default());
        let label = store.session(*session)?.map(|session| session.label);
        assert_eq!(label, Some(model.labels.get(session).copied().unwrap_or(Label::CLEAN)));
    }
    let running: Vec<TurnId> = store.unfinished_turns()?.iter().map(|turn| turn.id).collect();
    assert_eq!(running, model.turns.iter().filter(|turn| turn.2).map(|turn| turn.0).collect::<Vec<_>>());
    for (id, session, is_running) in &model.turns {
        let turn = store.turn(*id)?.ok_or("a turn is gone")?;
        assert_eq!((turn.session, turn.state == TurnState::Running), (*session, *is_running));
    }
    let open: Vec<RequestId> = store.open_requests()?.iter().map(|request| request.id).collect();
    let expected = model.requests.iter().filter(|request| request.1.is_none()).map(|request| request.0);
    assert_eq!(open, expected.collect::<Vec<_>>());
    Ok(())
}

async fn follow(ops: &[Op]) -> TestResult {
    let (store, _) = store()?;
    let mut model = Model::default();
    for _ in 0..2 {
        model.sessions.push(store.transact(|tx| tx.create_session(new_session(None))).await?);
    }
    for op in ops {
        step(&store, &mut model, *op).await?;
        compare(&store, &model)?;
    }
    Ok(())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 32, ..Default::default() })]
    #[test]
    fn the_store_does_what_the_model_does(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(follow(&ops)).map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))?;
    }
}
