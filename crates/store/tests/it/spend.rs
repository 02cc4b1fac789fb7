//! Money: nothing is forgotten, and all sums agree.

use proptest::prelude::{Strategy, prop, prop_oneof};
use store::{SpendScope, Store, StoreError, year_month};
use types::{MicroUsd, Timestamp, TurnEnd, TurnId, Usage};

use crate::fixture::{NOON, TestResult, running_turn, store};

fn sums(store: &Store, scope: SpendScope) -> Result<(u64, u64), StoreError> {
    let spent = store.spent(scope)?;
    Ok((spent.settled.0, spent.reserved.0))
}

#[tokio::test]
async fn what_is_set_aside_is_replaced_by_what_it_came_to() -> TestResult {
    let (store, _) = store()?;
    let (session, turn) = running_turn(&store).await?;
    store.transact(move |tx| tx.reserve(turn, 1, MicroUsd(500))).await?;
    let scopes = [
        SpendScope::Turn(turn),
        SpendScope::Session(session),
        SpendScope::Day(Timestamp(NOON).day()),
        SpendScope::Month { year_month: year_month(Timestamp(NOON)) },
    ];
    for scope in scopes {
        assert_eq!(sums(&store, scope)?, (0, 500), "{scope:?}");
    }
    let usage = Usage { input: 1, cache_read: 2, cache_write: 3, cache_write_1h: 0, output: 4, reasoning: 5 };
    store.transact(move |tx| tx.settle(turn, 1, usage, Some(MicroUsd(123)))).await?;
    for scope in scopes {
        let spent = store.spent(scope)?;
        assert_eq!((spent.settled.0, spent.reserved.0, spent.usage), (123, 0, usage), "{scope:?}");
    }
    assert_eq!(sums(&store, SpendScope::Day(0))?, (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_month_is_told_by_model() -> TestResult {
    let (store, _) = store()?;
    let month = year_month(Timestamp(NOON));
    assert!(store.spent_by_models(month)?.is_empty());
    let (_, turn) = running_turn(&store).await?;
    let usage = Usage { input: 1, cache_read: 2, cache_write: 3, cache_write_1h: 0, output: 4, reasoning: 5 };
    store.transact(move |tx| tx.settle(turn, 1, usage, Some(MicroUsd(123)))).await?;
    store.transact(move |tx| tx.reserve(turn, 2, MicroUsd(500))).await?;
    let model = store.turn(turn)?.map(|turn| turn.model).unwrap_or_default();
    let rows = store.spent_by_models(month)?;
    let [row] = rows.as_slice() else { return Err(format!("one model was used: {rows:?}").into()) };
    assert_eq!((row.model.as_str(), row.calls, row.spend.usage), (model.as_str(), 2, usage));
    assert_eq!((row.spend.settled.0, row.spend.reserved.0), (123, 500));
    assert!(store.spent_by_models(month + 1)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_known_counts_as_spent() -> TestResult {
    let (store, _) = store()?;
    let (_, turn) = running_turn(&store).await?;
    let scope = SpendScope::Turn(turn);
    store.transact(move |tx| tx.reserve(turn, 1, MicroUsd(500))).await?;
    store.transact(move |tx| tx.reserve(turn, 1, MicroUsd(40))).await?;
    assert_eq!(sums(&store, scope)?, (500, 40));
    store.transact(move |tx| tx.settle_unknown(turn, 1)).await?;
    store.transact(move |tx| tx.settle_unknown(turn, 1)).await?;
    assert_eq!(sums(&store, scope)?, (540, 0));
    store.transact(move |tx| tx.settle(turn, 7, Usage::default(), Some(MicroUsd(1)))).await?;
    assert_eq!(sums(&store, scope)?, (541, 0));
    store.transact(move |tx| tx.reserve(turn, 8, MicroUsd(9))).await?;
    store.transact(move |tx| tx.finish_turn(turn, TurnEnd::Stopped, String::new())).await?;
    assert_eq!(sums(&store, scope)?, (550, 0));
    Ok(())
}

#[tokio::test]
async fn absurd_amounts_do_not_break_the_sums() -> TestResult {
    let (store, _) = store()?;
    let (_, turn) = running_turn(&store).await?;
    let usage = Usage { input: u64::MAX, ..Usage::default() };
    for step in 0..3 {
        store.transact(move |tx| tx.settle(turn, step, usage, Some(MicroUsd(u64::MAX)))).await?;
    }
    assert_eq!(sums(&store, SpendScope::Turn(turn))?, (3 << 40, 0));
    Ok(())
}

#[tokio::test]
async fn the_day_is_the_clocks_even_when_it_was_put_back() -> TestResult {
    let (store, clock) = store()?;
    let (_, turn) = running_turn(&store).await?;
    clock.set(NOON - 86_400_000);
    store.transact(move |tx| tx.reserve(turn, 1, MicroUsd(5))).await?;
    assert_eq!(sums(&store, SpendScope::Day(Timestamp(NOON).day() - 1))?, (0, 5));
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Reserve(usize, u32, u64),
    Settle(usize, u32, u64),
    Unknown(usize, u32),
    Finish(usize),
    Tomorrow,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..3_usize, 1..4_u32, 0..1_000_u64).prop_map(|(turn, step, amount)| Op::Reserve(turn, step, amount)),
        (0..3_usize, 1..4_u32, 0..1_000_u64).prop_map(|(turn, step, amount)| Op::Settle(turn, step, amount)),
        (0..3_usize, 1..4_u32).prop_map(|(turn, step)| Op::Unknown(turn, step)),
        (0..3_usize).prop_map(Op::Finish),
        proptest::prelude::Just(Op::Tomorrow),
    ];
    prop::collection::vec(op, 1..40)
}

/// One model call as the plainest bookkeeping has it.
struct Entry {
    turn: usize,
    step: u32,
    day: i64,
    reserved: u64,
    settled: Option<u64>,
}

fn close(entries: &mut [Entry], turn: usize, step: Option<u32>) {
    for entry in entries.iter_mut().filter(|entry| entry.turn == turn && step.is_none_or(|step| step == entry.step)) {
        entry.settled.get_or_insert(entry.reserved);
    }
}

async fn follow(ops: &[Op]) -> Result<(), Box<dyn std::error::Error>> {
    let (store, clock) = store()?;
    let turns: Vec<TurnId> =
        vec![running_turn(&store).await?.1, running_turn(&store).await?.1, running_turn(&store).await?.1];
    let mut entries: Vec<Entry> = Vec::new();
    let mut now = NOON;
    for op in ops.iter().copied() {
        let day = Timestamp(now).day();
        match op {
            Op::Reserve(turn, step, amount) => {
                let id = turns[turn];
                store.transact(move |tx| tx.reserve(id, step, MicroUsd(amount))).await?;
                close(&mut entries, turn, Some(step));
                entries.push(Entry { turn, step, day, reserved: amount, settled: None });
            }
            Op::Settle(turn, step, amount) => {
                let id = turns[turn];
                store.transact(move |tx| tx.settle(id, step, Usage::default(), Some(MicroUsd(amount)))).await?;
                let open = entries.iter_mut().find(|e| e.turn == turn && e.step == step && e.settled.is_none());
                match open {
                    Some(entry) => entry.settled = Some(amount),
                    None => entries.push(Entry { turn, step, day, reserved: 0, settled: Some(amount) }),
                }
            }
            Op::Unknown(turn, step) => {
                let id = turns[turn];
                store.transact(move |tx| tx.settle_unknown(id, step)).await?;
                close(&mut entries, turn, Some(step));
            }
            Op::Finish(turn) => {
                let id = turns[turn];
                let ended = store.transact(move |tx| tx.finish_turn(id, TurnEnd::Done, String::new())).await?;
                if ended {
                    close(&mut entries, turn, None);
                }
            }
            Op::Tomorrow => {
                now += 86_400_000;
                clock.set(now);
            }
        }
        let expect = |keep: &dyn Fn(&Entry) -> bool| {
            let kept = || entries.iter().filter(|entry| keep(entry));
            let settled: u64 = kept().filter_map(|entry| entry.settled).sum();
            (settled, kept().filter(|entry| entry.settled.is_none()).map(|entry| entry.reserved).sum::<u64>())
        };
        for (number, turn) in turns.iter().enumerate() {
            assert_eq!(sums(&store, SpendScope::Turn(*turn))?, expect(&|entry| entry.turn == number));
        }
        let day = Timestamp(now).day();
        assert_eq!(sums(&store, SpendScope::Day(day))?, expect(&|entry| entry.day == day));
        let month = year_month(Timestamp(now));
        let in_month = |entry: &Entry| year_month(Timestamp(entry.day * 86_400_000)) == month;
        assert_eq!(sums(&store, SpendScope::Month { year_month: month })?, expect(&in_month));
    }
    Ok(())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]
    #[test]
    fn all_sums_agree_with_plain_bookkeeping(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(follow(&ops)).map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))?;
    }
}
