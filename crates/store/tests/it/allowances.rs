//! Allowances and the state of the second factor.

use store::{NewRequest, SecondFactor, Store, StoreError};
use types::{
    Allowance, AllowanceId, AllowanceRule, AllowanceScope, AllowedArguments, Ask, Label, Offer, SessionId, Sink,
    Timestamp, TurnEnd, TurnId,
};

use crate::fixture::{NOON, TestResult, running_turn, store, workspace};

fn offer(tool: &str) -> Offer {
    let rule = AllowanceRule {
        tool: tool.to_owned(),
        sink: Sink::Compute,
        read_only: false,
        workspace: workspace(),
        destinations: Vec::new(),
        count: 1,
        label: Label::OWNER,
        arguments: AllowedArguments::Exactly { arguments: "{}".to_owned() },
    };
    Offer { rule, text: "the rule".to_owned(), digest: "00".to_owned() }
}

async fn add(store: &Store, tool: &str, task: Option<(SessionId, TurnId)>) -> Result<Allowance, StoreError> {
    let (session, turn) = match task {
        Some(task) => task,
        None => running_turn(store).await?,
    };
    let offer = offer(tool);
    let scope = task.map_or(AllowanceScope::Always, |(session, turn)| AllowanceScope::Task { session, turn });
    store
        .transact(move |tx| {
            let ask = Ask::Question { text: "?".to_owned(), options: vec![] };
            let request =
                tx.ask_owner(NewRequest { session, turn, call: "c".to_owned(), ask, expires_at: Timestamp(i64::MAX) })?;
            tx.add_allowance(request.id, &offer, scope)
        })
        .await
}

#[tokio::test]
async fn an_allowance_holds_until_it_is_taken_back() -> TestResult {
    let (store, clock) = store()?;
    let (_, turn) = running_turn(&store).await?;
    let saved = add(&store, "exec", None).await?;
    assert_eq!(store.allowances()?, std::slice::from_ref(&saved));
    assert_eq!(store.allowances_for(turn, "exec")?, std::slice::from_ref(&saved));
    assert_eq!(store.allowances_for(turn, "fetch")?, []);
    clock.set(NOON + 5_000);
    let id = saved.id;
    assert!(store.transact(move |tx| tx.use_allowance(id, turn)).await?);
    let used = store.allowance(id)?.ok_or("it is gone")?;
    assert_eq!((used.uses, used.used_at), (1, Some(Timestamp(NOON + 5_000))));
    assert!(store.transact(move |tx| tx.revoke_allowance(id)).await?);
    assert!(!store.transact(move |tx| tx.revoke_allowance(id)).await?);
    assert!(!store.transact(move |tx| tx.use_allowance(id, turn)).await?);
    assert_eq!(store.allowances()?, []);
    assert_eq!(store.allowances_for(turn, "exec")?, []);
    let missing = store.transact(|tx| tx.revoke_allowance(AllowanceId(99))).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
    Ok(())
}

#[tokio::test]
async fn an_allowance_for_a_task_holds_for_that_task() -> TestResult {
    let (store, _) = store()?;
    let task = running_turn(&store).await?;
    let (_, other) = running_turn(&store).await?;
    let saved = add(&store, "exec", Some(task)).await?;
    assert_eq!(store.allowances_for(task.1, "exec")?, std::slice::from_ref(&saved));
    assert_eq!(store.allowances_for(other, "exec")?, []);
    let id = saved.id;
    assert!(!store.transact(move |tx| tx.use_allowance(id, other)).await?);
    assert!(store.transact(move |tx| tx.use_allowance(id, task.1)).await?);
    assert_eq!(store.allowances()?.len(), 1);
    store.transact(move |tx| tx.finish_turn(task.1, TurnEnd::Done, String::new())).await?;
    assert_eq!(store.allowances()?, [], "the task is over");
    Ok(())
}

/// Without the defence, what was taken back is used all the same: the test above would fail.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_fault_switch_lets_a_revoked_allowance_live() -> TestResult {
    let (store, _) = store()?;
    let (_, turn) = running_turn(&store).await?;
    let id = add(&store, "exec", None).await?.id;
    store.transact(move |tx| tx.revoke_allowance(id)).await?;
    types::faults::set_broken("14");
    assert_eq!(store.allowances_for(turn, "exec")?.len(), 1);
    assert!(store.transact(move |tx| tx.use_allowance(id, turn)).await?);
    Ok(())
}

#[tokio::test]
async fn the_second_factor_is_kept_and_forgotten() -> TestResult {
    let (store, _) = store()?;
    assert_eq!(store.second_factor()?, None);
    let state = SecondFactor { since: Timestamp(NOON), used_step: Some(7), failures: 2, locked_until: None };
    for state in [state, SecondFactor { locked_until: Some(Timestamp(NOON + 1)), used_step: None, ..state }] {
        store.transact(move |tx| tx.set_second_factor(Some(state))).await?;
        assert_eq!(store.second_factor()?, Some(state));
    }
    store.transact(|tx| tx.set_second_factor(None)).await?;
    assert_eq!(store.second_factor()?, None);
    Ok(())
}
