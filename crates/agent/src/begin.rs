//! The beginning of a turn. One transaction takes the messages from the inbox, puts them into the conversation and
//! begins the first model call, since each transaction costs the owner a wait for the disk.

use store::{NewTurn, StoreError, Tx};
use types::TurnId;

use crate::{
    Deps, context,
    estimate::request_bytes,
    models::{self, ModelRole},
    progress::Progress,
    step::{Intake, Opened, Opening},
};

/// Begins a turn. [`crate::run_turn`] must follow with the same `deps`; if the process ends before that, running the
/// turn later is right too.
pub async fn begin(deps: &Deps, new: NewTurn) -> Result<TurnId, StoreError> {
    let session = new.session;
    let rows = deps.store.context(session)?;
    let messages = context::build(&rows, &deps.store.constraints(session)?);
    let bytes = request_bytes(&deps.settings.system, &deps.tools.specs(), &messages);
    let progress = Progress::latest(&deps.store, session)?;
    let now = deps.clock.now();
    let chosen = models::chosen(&deps.store, session)?;
    let model =
        deps.models.pick(ModelRole::Main, chosen.as_deref(), &[], now).unwrap_or_else(|| deps.models.first().clone());
    let opening = Opening::new(deps, &model, progress, bytes);
    let new = NewTurn { model: model.name.clone(), ..new };
    let intake = Intake::new(deps, (deps.redactor)(), session)?;
    let (turn, opened) = deps.store.transact(move |tx| started(tx, new, opening, &intake)).await?;
    deps.begun.put(
        turn,
        match opened {
            Opened::Ask(step) => Some(step),
            // The turn itself deals with these, with its own transactions.
            Opened::TooLong | Opened::Limit(_) => None,
        },
    );
    Ok(turn)
}

fn started(
    tx: &mut Tx<'_>,
    new: NewTurn,
    mut opening: Opening,
    intake: &Intake,
) -> Result<(TurnId, Opened), StoreError> {
    let waiting = tx.waiting_inbox(new.session)?;
    let (taken, model) = (new.inbox.clone(), new.model.clone());
    let turn = tx.begin_turn(new)?;
    let mut added = 0;
    for row in taken.iter().filter_map(|id| waiting.iter().find(|row| row.id == *id)) {
        added += intake.append(tx, turn, row)?;
    }
    opening.progress = Progress { model: Some(model), ..opening.progress.for_turn(turn) };
    opening.compact = true;
    Ok((turn, opening.open(tx, turn, added)?))
}
