//! What is going on, for clients and in words.

use channels::{ChannelStatus, Polling};
use store::{OutboxState, SpendScope};
use types::{Failure, MicroUsd, Timestamp};

use crate::{
    api::views::{CanaryView, ChannelView, Running, ShippingView, Status},
    core::Core,
    failure::stored,
    ship::State,
};

/// The state of everything.
pub(crate) fn status(core: &Core) -> Result<Status, Failure> {
    let running = core.sessions.running().into_iter().map(|(session, turn)| Running { session, turn }).collect();
    let unsent = core.store.due_outbox(Timestamp(i64::MAX), 1_000).map_err(stored)?;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        home: core.home.path().display().to_string(),
        address: core.address.to_string(),
        model: core.live().model.clone(),
        running,
        undelivered: unsent.iter().filter(|row| !matches!(row.state, OutboxState::Sent | OutboxState::Failed)).count(),
        open_requests: core.store.open_requests().map_err(stored)?.len(),
        spent_today_micro_usd: total(core, day(core))?.0,
        spent_month_micro_usd: total(core, month(core))?.0,
        canary: core.canary.borrow().clone(),
        channels: channel_views(core),
        shipping: shipping_views(core),
    })
}

/// How far the audit log is shipped.
pub(crate) fn shipping_views(core: &Core) -> Vec<ShippingView> {
    let recorded = core.store.audit().head().seq;
    let view =
        |(name, state): (String, State)| ShippingView { name, shipped: state.shipped, recorded, error: state.error };
    core.shipping.states().into_iter().map(view).collect()
}

/// Each messenger's state.
pub(crate) fn channel_views(core: &Core) -> Vec<ChannelView> {
    let view = |id: &types::ChannelId, status: ChannelStatus| ChannelView {
        id: id.to_string(),
        state: in_words_channel(&status),
        last_error: status.last_error,
    };
    core.messengers.iter().map(|(id, messenger)| view(id, messenger.channel.status())).collect()
}

fn in_words_channel(status: &ChannelStatus) -> String {
    let state = match status.polling {
        Polling::Stopped => "stopped",
        Polling::Starting => "connecting",
        Polling::Receiving => "receiving",
        Polling::Waiting => "waiting to try again",
        Polling::Conflict => "another program receives this bot's messages",
        Polling::Refused => "the messenger refuses the secret",
    };
    match &status.account {
        Some(account) => format!("{state} as {account}"),
        None => state.to_owned(),
    }
}

/// `/status`.
pub(crate) fn in_words(core: &Core) -> Result<String, Failure> {
    let status = status(core)?;
    let session = core.store.session(core.current_session()?).map_err(stored)?;
    let mut lines = Vec::new();
    if let Some(session) = session {
        lines.push(format!("session {} ({}) in workspace {}", session.id, session.title, session.workspace));
    }
    let names: Vec<String> = core.workspaces.names().iter().map(ToString::to_string).collect();
    lines.push(format!("workspaces: {}", names.join(", ")));
    lines.push(format!("model: {}", status.model));
    lines.push(match status.running.as_slice() {
        [] => "nothing is running".to_owned(),
        running => {
            let tasks: Vec<String> =
                running.iter().map(|running| format!("task {} in session {}", running.turn, running.session)).collect();
            format!("running: {}", tasks.join(", "))
        }
    });
    if status.open_requests > 0 {
        lines.push(format!("waiting for your answer: {}", status.open_requests));
    }
    let proposed = core.store.open_proposals().map_err(stored)?.len();
    if proposed > 0 {
        lines.push(format!("proposed and not decided: {proposed} (/proposals)"));
    }
    match status.canary {
        CanaryView::Held { .. } => {}
        CanaryView::Running => lines.push("the sandbox is still testing itself".to_owned()),
        CanaryView::Failed { error } => lines.push(format!("the sandbox failed its self-test: {error}")),
    }
    lines.extend(status.channels.iter().map(|channel| format!("{}: {}", channel.id, channel.state)));
    Ok(lines.join("\n"))
}

/// `/cost`.
pub(crate) fn cost_in_words(core: &Core) -> Result<String, Failure> {
    let session = core.current_session()?;
    let (session, today, month) =
        (total(core, SpendScope::Session(session))?, total(core, day(core))?, total(core, month(core))?);
    let cap = |dollars: Option<f64>| {
        dollars.map(|dollars| format!(" of {}", MicroUsd::from_dollars(dollars))).unwrap_or_default()
    };
    let budget = core.live().config.budget.clone();
    Ok(format!(
        "this session: {session}\ntoday: {today}{}\nthis month: {month}{}",
        cap(budget.day_usd),
        cap(budget.month_usd)
    ))
}

fn total(core: &Core, scope: SpendScope) -> Result<MicroUsd, Failure> {
    Ok(core.store.spent(scope).map_err(stored)?.total())
}

fn day(core: &Core) -> SpendScope {
    SpendScope::Day(core.clock.now().day())
}

fn month(core: &Core) -> SpendScope {
    SpendScope::Month { year_month: store::year_month(core.clock.now()) }
}
